// The alerts of a run: what was seen, in numbers, and what to try.

import { el } from "./dom.js";
import { count, number } from "./words.js";

/** Tells an alert from another; the same after a reload. */
export const key = (alert) => `${alert.alert}@${alert.fired_step}`;

/** Where its picture is, for messages and notes. */
const picture = (alert) => `runs/${alert.run.split("/").map(encodeURIComponent).join("/")}/alert/${encodeURIComponent(`${alert.alert}-${alert.fired_step}`)}.png`;

/** One alert as an article; `choose` is called when its place in the charts is wanted. */
export function card(alert, { chosen, fresh, choose, pictures }) {
  const classes = ["alert", alert.severity, chosen && "chosen", fresh && "fresh"].filter(Boolean);
  return el("article", { class: classes.join(" "), "data-key": key(alert) },
    el("header", {},
      el("h3", {}, alert.alert),
      el("span", { class: `badge ${alert.severity}` }, el("span", { class: `dot ${alert.severity}`, "aria-hidden": "true" }), alert.severity)),
    el("p", { class: "where" }, where(alert)),
    el("p", {}, alert.summary),
    alert.advice ? el("p", { class: "try" }, el("b", {}, "What to try: "), alert.advice) : null,
    evidence(alert),
    el("div", { class: "buttons" },
      el("button", { type: "button", class: "plain", "aria-pressed": String(Boolean(chosen)), onclick: () => choose(chosen ? null : alert) }, "Show in charts"),
      pictures ? el("a", { href: picture(alert), target: "_blank", rel: "noopener" }, "Picture") : null));
}

function where(alert) {
  const since = alert.onset_step < alert.fired_step ? `since step ${count(alert.onset_step)}, ` : "";
  const end = alert.active ? "still firing" : `resolved at step ${count(alert.resolved_step)}`;
  return `${since}fired at step ${count(alert.fired_step)}, ${end}`;
}

function evidence(alert) {
  const rows = [
    ["about", alert.subject],
    ["value seen", number(alert.value)],
    alert.saw_from === null ? null : ["the rule saw", `steps ${count(alert.saw_from)} to ${count(alert.fired_step)}`],
    alert.layers.length ? ["layers at fault", alert.layers.join(", ")] : null,
    ...Object.entries(alert.facts).map(([name, value]) => [name.replaceAll("_", " "), value]),
    ["detector", alert.detector],
  ];
  const list = el("dl", {}, rows.filter(Boolean).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  return el("details", {}, el("summary", {}, "Evidence"), list);
}

/** A short label for charts. */
export const label = (alert) => `${alert.alert} (step ${count(alert.fired_step)})`;
