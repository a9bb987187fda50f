// Questions to the monitor.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The JSON document at `path`; parameters may be lists. Refused where the monitor says no. */
export async function ask(path, parameters = {}, signal = undefined) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== "" && one !== undefined && one !== null) search.append(key, one);
  }
  const answer = await fetch(`api/v1/${path}?${search}`, { signal, credentials: "same-origin" });
  const document = await answer.json().catch(() => ({ error: `HTTP ${answer.status}` }));
  if (!answer.ok) throw new Refused(answer.status, document.error ?? `HTTP ${answer.status}`);
  return document;
}
