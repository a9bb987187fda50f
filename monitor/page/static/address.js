// The state of the page is its address: what is shown can be linked to, and "back" works.
// All addresses are relative: the page may be mounted anywhere.

export const here = () => Object.fromEntries(new URLSearchParams(location.search));

/** An address with these parameters; empty ones are left out. */
export function address(parameters) {
  const left = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return "?" + new URLSearchParams(left);
}

/** Goes there; `quietly` leaves no entry in the history (while somebody types). */
export function go(parameters, quietly = false) {
  const target = address(parameters);
  if (target === (location.search || "?")) return;
  history[quietly ? "replaceState" : "pushState"](null, "", target);
  dispatchEvent(new CustomEvent("moved", { detail: { quietly } }));
}

/** Links within the page do not load it again; what opens new tabs still does. */
export function follow(event) {
  const link = event.target.closest?.("a[data-go]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(Object.fromEntries(new URLSearchParams(link.search)));
}
