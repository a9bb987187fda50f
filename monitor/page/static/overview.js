// The list of runs.

import { address, go, here } from "./address.js";
import { ask } from "./ask.js";
import { el } from "./dom.js";
import { sparkline } from "./sparkline.js";
import { HEALTH, age, count, moment, number, plural, title } from "./words.js";

const COLUMNS = [
  ["health", "Health"],
  ["name", "Run"],
  ["alerts", "Alerts"],
  [null, "Training loss"],
  ["step", "Step"],
  ["event", "Last event"],
];
const FALLING = new Set(["step", "event", "alerts"]); // sorted from the greatest on at first
const TYPING_MS = 150;

/** Builds the list in `main`; returns what can be asked of it. */
export function overview(main) {
  const rows = new Map();
  let asking = null;
  let typing = 0;
  let knownAll = null;

  const search = el("input", {
    type: "search", id: "filter", placeholder: "Name or alert", autocomplete: "off", spellcheck: "false",
    "aria-keyshortcuts": "/", maxlength: 200,
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(apply, TYPING_MS);
    },
    onchange: () => apply(), // left before the time was over
  });
  const chips = Object.keys(HEALTH).map((health) => {
    const number = el("span", { class: "number" }, "–");
    const button = el("button", { type: "button", class: `chip ${health}`, onclick: () => toggle(health) },
      el("span", { class: `dot ${health}`, "aria-hidden": "true" }), `${HEALTH[health]} `, number);
    return { health, button, number };
  });
  const headings = COLUMNS.map(([sort, text]) => {
    const button = sort ? el("button", { type: "button", onclick: () => order(sort) }, text) : text;
    return { sort, th: el("th", { scope: "col", class: `c-${sort ?? "trend"}` }, button) };
  });
  const body = el("tbody");
  const caption = el("caption", { class: "visually-hidden" }, "Runs and their health");
  const table = el("table", { class: "runs" }, caption, el("thead", {}, el("tr", {}, headings.map((h) => h.th))), body);
  const said = el("p", { class: "said", role: "status" });
  const pager = el("nav", { class: "pager", "aria-label": "Pages of runs" });

  const list = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of runs" }, table);
  const tools = el("div", { class: "tools" },
      el("label", { class: "search", for: "filter" }, el("span", {}, "Filter"), search),
      el("div", { class: "chips", role: "group", "aria-label": "Show by health" }, chips.map((chip) => chip.button)));
  const everything = el("p", { hidden: true }, el("a", { href: "?", "data-go": true }, "Show all runs"));
  main.replaceChildren(el("h1", {}, "Runs"), tools, said, everything, list, pager);

  function apply() {
    clearTimeout(typing);
    const q = search.value.trim();
    if (q !== (here().q ?? "")) go({ ...here(), q, page: "" }, true);
  }

  const chosen = () => new Set((here().health ?? "").split(",").filter(Boolean));

  function toggle(health) {
    const now = chosen();
    if (!now.delete(health)) now.add(health);
    go({ ...here(), health: [...now].join(","), page: "" });
  }

  function order(sort) {
    const now = here();
    const first = FALLING.has(sort) ? "desc" : "asc";
    const same = (now.sort ?? "health") === sort;
    const other = (now.order ?? "asc") === "asc" ? "desc" : "asc";
    go({ ...now, sort, order: same ? other : first, page: "" });
  }

  async function refresh() {
    asking?.abort();
    const mine = (asking = new AbortController());
    const { q, health, sort, order, page } = here();
    const found = await ask("runs", { q, health, sort, order, page }, mine.signal);
    if (asking === mine) show(found);
  }

  function show(found) {
    const { sort = "health", order = "asc" } = here();
    const picked = chosen();
    for (const { health, button, number } of chips) {
      number.textContent = count(found.health[health]);
      button.setAttribute("aria-pressed", String(picked.has(health)));
    }
    for (const heading of headings) {
      if (heading.sort === sort) heading.th.setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else heading.th.removeAttribute("aria-sort");
    }
    if (document.activeElement !== search) search.value = here().q ?? "";
    const filtered = found.total !== found.all;
    const text = found.all === 0
      ? (found.ready ? "There are no runs yet. They appear here by themselves, as soon as event files are written below the log directories." : "Still reading what is there …")
      : filtered ? `${count(found.total)} of ${plural(found.all, "run")}` : plural(found.all, "run");
    if (said.textContent !== text) said.textContent = text;
    tools.hidden = found.all === 0;
    list.hidden = found.total === 0;
    everything.hidden = found.total > 0 || found.all === 0;
    knownAll = found;
    fillRows(found.runs);
    page(found);
  }

  function fillRows(runs) {
    const used = new Set();
    const nodes = runs.map((run) => {
      const key = JSON.stringify(run);
      used.add(run.run);
      const known = rows.get(run.run);
      if (known?.key === key) return known.tr;
      const focused = known?.tr.contains(document.activeElement);
      const tr = line(run);
      rows.set(run.run, { key, tr });
      if (known) known.tr.replaceWith(tr);
      if (focused) tr.querySelector("a").focus();
      return tr;
    });
    for (const [run, { tr }] of rows) {
      if (!used.has(run)) {
        rows.delete(run);
        tr.remove();
      }
    }
    // Only what stands elsewhere moves, so that focus and selection stay.
    nodes.forEach((tr, i) => {
      if (body.children[i] !== tr) body.insertBefore(tr, body.children[i] ?? null);
    });
  }

  function page({ page, pages }) {
    if (pages === 1) return pager.replaceChildren();
    const link = (to, text) => to < 1 || to > pages
      ? el("span", { class: "off", "aria-disabled": "true" }, text)
      : el("a", { href: address({ ...here(), page: to === 1 ? "" : to }), "data-go": true }, text);
    const focused = [...pager.children].indexOf(document.activeElement);
    pager.replaceChildren(link(page - 1, "Previous"), el("span", {}, `Page ${count(page)} of ${count(pages)}`), link(page + 1, "Next"));
    if (focused >= 0) pager.children[focused]?.focus();
  }

  const ages = setInterval(() => {
    for (const time of body.querySelectorAll("time")) time.textContent = age(Number(time.dataset.at));
  }, 5000);

  return {
    refresh,
    concerns: (change) => change.many || change.runs.length > 0,
    close: () => (clearInterval(ages), asking?.abort()),
    find: () => search.focus(),
    title: () => {
      const sick = knownAll ? knownAll.health.critical + knownAll.health.warning : 0;
      return sick ? `(${sick}) Runs` : "Runs";
    },
  };
}

function line(run) {
  const last = run.trend.findLast((value) => value !== null);
  const label = last === undefined ? "" : `Training loss, now about ${number(last)}`;
  return el("tr", { class: run.health },
    el("td", { class: "c-health" }, el("span", { class: `badge ${run.health}` },
      el("span", { class: `dot ${run.health}`, "aria-hidden": "true" }), HEALTH[run.health])),
    el("th", { scope: "row", class: "c-name" }, el("a", { href: address({ run: run.run }), "data-go": true }, el("bdi", {}, title(run.run)))),
    el("td", { class: "c-alerts" }, alerts(run)),
    el("td", { class: "c-trend" }, sparkline(run.trend, label) ?? ""),
    el("td", { class: "c-step" }, count(run.last_step)),
    el("td", { class: "c-event" },
      el("time", { "data-at": run.last_event, title: moment(run.last_event), datetime: iso(run.last_event) }, age(run.last_event)),
      run.ended ? el("span", { class: "ended" }, "ended") : null));
}

function alerts(run) {
  const names = run.alerts.map(({ alert, severity }) => el("li", { class: `tag ${severity}` }, alert));
  if (run.more) names.push(el("li", { class: "tag" }, `and ${run.more} more`));
  if (names.length) return el("ul", { class: "tags" }, names);
  return run.resolved ? el("span", { class: "quiet" }, `${run.resolved} resolved`) : "";
}

const iso = (time) => (time > 0 && time < 8e12 ? new Date(time * 1000).toISOString() : null);
