// A run's page: what is wrong with it, why, and the curves beside it.

import { go, here } from "./address.js";
import { card, key } from "./alerts.js";
import { Refused, ask } from "./ask.js";
import { curves } from "./curves.js";
import { el } from "./dom.js";
import { heat } from "./heat.js";
import { HEALTH, age, count, moment, plural, title } from "./words.js";

const PART_MS = 300;

/** Builds the page of `run` in `main`; returns what can be asked of it. */
export function runPage(main, run) {
  const seen = new Set();
  let first = true;
  let found = null;
  let shownAlerts = "";
  let shownHead = "";
  let waiting = 0;

  const heading = el("h1", {}, el("bdi", {}, title(run)));
  const health = el("span");
  const meta = el("div", { class: "run-meta" });
  const alerts = el("section", { class: "column", "aria-labelledby": "alerts-title" });
  const charts = el("div", { class: "column" });
  const problem = el("p", { class: "sorry", role: "alert" });
  // Nothing of it until something is known of the run: there may be none of this name.
  const body = el("div", { class: "run-body", hidden: true }, alerts, charts);
  main.replaceChildren(
    el("p", {}, el("a", { href: "?", "data-go": true }, "← All runs")),
    el("div", { class: "run-head" }, heading, health),
    meta,
    problem,
    body,
  );
  const lines = curves(charts, run);
  const layers = heat(charts, run, lines);

  async function refresh() {
    found = await ask("run", { run });
    problem.textContent = "";
    body.hidden = false;
    showHead();
    showAlerts();
    const all = [...found.past.toReversed(), ...found.firing];
    const whole = await Promise.all([lines.refresh(found, all, chosen()), layers.refresh(found)]);
    clearTimeout(waiting);
    // A long run comes in parts: what is there is drawn meanwhile.
    if (whole.includes(false)) waiting = setTimeout(() => void again(), PART_MS);
  }

  const again = () => refresh().catch(failed);

  const chosen = () => {
    const all = [...found.firing, ...found.past];
    const asked = here().alert;
    // Unasked it is the worst one that fires.
    return asked === undefined ? found.firing[0] ?? null : all.find((alert) => key(alert) === asked) ?? null;
  };

  function choose(alert) {
    go({ run, alert: alert ? key(alert) : "none" }, true);
  }

  function showHead() {
    const drawn = JSON.stringify([found.health, found.last_step, found.last_event, found.ended, found.facts]);
    if (drawn === shownHead) return;
    shownHead = drawn;
    health.className = `badge ${found.health}`;
    health.replaceChildren(el("span", { class: `dot ${found.health}`, "aria-hidden": "true" }), HEALTH[found.health]);
    const facts = Object.entries(found.facts);
    const open = meta.querySelector("details")?.open ?? false;
    meta.replaceChildren(
      el("span", {}, "step ", el("b", {}, count(found.last_step))),
      el("span", {}, "last event ", el("b", {}, el("time", { "data-at": found.last_event, title: moment(found.last_event) }, age(found.last_event)))),
      found.ended ? el("span", { class: "ended" }, "ended") : "",
      facts.length ? el("details", { class: "facts", open }, el("summary", {}, "About this run"),
        el("dl", {}, facts.map(([name, value]) => [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, value)]))) : "",
    );
  }

  function showAlerts() {
    const now = JSON.stringify([found.firing, found.past, found.forgotten, here().alert]);
    if (now === shownAlerts) return;
    shownAlerts = now;
    const open = new Set([...alerts.querySelectorAll("article details[open]")].map((d) => d.closest("article").dataset.key));
    const past = alerts.querySelector("details.past");
    const focus = focused(alerts);
    const made = (alert) => {
      const fresh = !first && alert.active && !seen.has(key(alert));
      seen.add(key(alert));
      const node = card(alert, { chosen: chosen() === alert, fresh, choose, pictures: found.pictures });
      if (open.has(key(alert))) node.querySelector("details").open = true;
      return node;
    };
    const firing = found.firing.map(made);
    const over = found.past.map(made);
    const more = found.forgotten ? `, and ${count(found.forgotten)} older ones that are not kept` : "";
    alerts.replaceChildren(
      el("h2", { id: "alerts-title" }, firing.length ? plural(firing.length, "alert") + " firing" : "No alert is firing"),
      ...firing,
      over.length ? el("details", { class: "past", open: past ? past.open : over.includes(alerts.querySelector(".chosen")) || !firing.length },
        el("summary", {}, plural(over.length, "past alert") + more), el("div", { class: "column" }, over)) : "",
    );
    first = false;
    focus?.();
  }

  function failed(error) {
    problem.textContent = error instanceof Refused ? error.message : "The monitor does not answer.";
  }

  const ages = setInterval(() => {
    for (const time of meta.querySelectorAll("time")) time.textContent = age(Number(time.dataset.at));
  }, 5000);

  return {
    refresh,
    recolour: () => (lines.recolour(), layers.recolour()),
    concerns: (change) => change.many || change.runs.includes(run),
    close: () => (clearInterval(ages), clearTimeout(waiting), lines.close(), layers.close()),
    title: () => title(run),
    failed,
  };
}

/** Remembers which button of which alert has the focus; a function that gives it back. */
function focused(alerts) {
  const active = document.activeElement;
  const article = alerts.contains(active) ? active.closest("article") : null;
  if (!article) return null;
  const { key: which } = article.dataset;
  const name = active.tagName;
  return () => [...alerts.querySelectorAll("article")].find((a) => a.dataset.key === which)?.querySelector(name)?.focus();
}
