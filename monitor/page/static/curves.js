// The charts of a run: its losses, and the learning rate on the same steps.

import { ask } from "./ask.js";
import { EDGE, GUTTER, chart, readout } from "./chart.js";
import { el } from "./dom.js";
import { extent, logScale, smooth, summary } from "./series.js";
import { count, number } from "./words.js";

const POINTS = 1000;
const SMOOTHING = [["0", "None"], ["2", "A little"], ["9", "Smooth"], ["40", "Very smooth"]];
const RANGES = [["1", "Whole run"], ["0.5", "Last half"], ["0.1", "Last tenth"]];
const MOST_CURVES = 4; // of one role: several optimizer groups, several validation sets
const ROWS_SHOWN = 16;

/** Adds the charts to `column`. */
export function curves(column, run) {
  let found = { curves: [] };
  let asked = "";
  let alerts = [];
  let chosen = null;
  let picked = null; // a tag that somebody chose instead of the loss
  let scale = null; // "log" or "linear" once somebody chose
  let zoomed = null;
  let tags = { main: [], val: [], rate: [] };
  const watchers = [];

  const shared = {
    key: "run",
    range: () => zoomed ?? wide(),
    zoom: (range) => {
      zoomed = range;
      rangeSelect.value = range ? "" : "1";
      again();
    },
    state: () => ({ alerts, chosen, end: wide()?.[1] ?? 0 }),
    gutter: GUTTER,
    edge: EDGE,
    watch: (watcher) => watchers.push(watcher),
    mark: (step) => both.forEach((one) => one.mark(step)),
  };

  function wide() {
    const all = extent(found.curves);
    if (!all) return null;
    return all[0] === all[1] ? [all[0] - 1, all[1] + 1] : all;
  }

  const tagSelect = el("select", { id: "tag", onchange: () => {
    picked = tagSelect.value;
    scale = null;
    void load().then(show);
  } });
  const smoothSelect = el("select", { id: "smoothing", onchange: () => show() }, SMOOTHING.map(([value, text]) => el("option", { value, selected: value === "9" }, text)));
  const rangeSelect = el("select", { id: "range", onchange: () => {
    const all = wide();
    const share = Number(rangeSelect.value);
    zoomed = all && share < 1 ? [all[1] - share * (all[1] - all[0]), all[1]] : null;
    again();
  } }, RANGES.map(([value, text]) => el("option", { value }, text)), el("option", { value: "", hidden: true }, "Chosen by mouse"));
  const logButton = el("button", { type: "button", class: "plain", onclick: () => {
    scale = logButton.getAttribute("aria-pressed") === "true" ? "linear" : "log";
    show();
  } }, "Log scale");

  const loss = figure("loss", "Loss", el("div", { class: "buttons" },
    el("label", { for: "tag" }, "Series"), tagSelect,
    el("label", { for: "smoothing" }, "Smoothing"), smoothSelect,
    el("label", { for: "range" }, "Steps"), rangeSelect, logButton));
  const rate = figure("rate", "Learning rate");
  const message = el("p", { class: "note", role: "status" });
  column.append(message, loss.section, rate.section);

  const charts = {
    loss: chart(loss.holder, shared, { named: true, read: (step) => read(step, true) }),
    rate: chart(rate.holder, shared, { named: false, read: (step) => read(step, true) }),
  };
  const both = Object.values(charts);

  function read(step, pass) {
    const of = (names) => found.curves.filter((curve) => names.includes(curve.tag));
    loss.key.replaceChildren(...readout(of([...tags.main, ...tags.val]), [...tags.main.map(() => "loss"), ...tags.val.map(() => "val")], step), ...legend());
    rate.key.replaceChildren(...readout(of(tags.rate), tags.rate.map(() => "rate"), step));
    if (pass) for (const watcher of watchers) watcher.mark(step);
  }

  const legend = () => (chosen && chosen.saw_from !== null
    ? [el("span", {}, el("span", { class: "swatch saw", "aria-hidden": "true" }), `what ${chosen.alert} saw`)] : []);

  /**
   * What is new: the run's document, its alerts in the order of their firing, and the chosen one. False if the
   * monitor has not read all of it yet.
   */
  async function refresh(document, all, one) {
    alerts = all;
    chosen = one;
    choose(document);
    const key = JSON.stringify([tags, document.last_step, document.last_event]);
    if (key !== asked) {
      await load();
      asked = found.whole === false ? "" : key;
    }
    show();
    return asked !== "";
  }

  function choose(document) {
    const drawn = document.drawn;
    const main = picked ?? drawn.train_loss[0] ?? drawn.val_loss[0] ?? document.scalars[0]?.tag;
    const isLoss = drawn.train_loss.includes(main);
    tags = {
      main: main === undefined ? [] : [main],
      val: isLoss ? drawn.val_loss.filter((tag) => tag !== main).slice(0, MOST_CURVES) : [],
      rate: drawn.learning_rate.slice(0, MOST_CURVES),
    };
    const options = document.scalars.map((scalar) => scalar.tag);
    if (JSON.stringify(options) !== tagSelect.dataset.options) {
      tagSelect.dataset.options = JSON.stringify(options);
      tagSelect.replaceChildren(...options.map((tag) => el("option", { value: tag }, tag)));
    }
    if (main !== undefined) tagSelect.value = main;
    loss.heading.textContent = isLoss || main === undefined ? "Loss" : main;
    loss.section.hidden = main === undefined;
    rate.section.hidden = !tags.rate.length;
  }

  async function load() {
    if (picked) tags = { ...tags, main: [picked], val: [] };
    const wanted = [...tags.main, ...tags.val, ...tags.rate];
    if (!wanted.length) {
      message.textContent = "Nothing has been logged that could be drawn.";
      return;
    }
    try {
      found = await ask("curves", { run, tag: [...new Set(wanted)], points: POINTS });
      message.textContent = found.whole ? "" : "Still reading this run …";
    } catch (error) {
      message.textContent = error.message;
    }
  }

  function show() {
    const of = (names) => names.map((tag) => found.curves.find((curve) => curve.tag === tag)).filter(Boolean);
    const [upper, lower] = [of([...tags.main, ...tags.val]), of(tags.rate)];
    const { possible, better } = logScale(upper);
    const log = possible && (scale === null ? better : scale === "log");
    logButton.disabled = !possible;
    logButton.title = possible ? "" : "Not possible: there are values that are not above 0.";
    logButton.setAttribute("aria-pressed", String(log));
    const half = Number(smoothSelect.value);
    const colours = [...tags.main.map(() => "loss"), ...tags.val.map(() => "val")];
    if (upper.length) charts.loss.draw({ curves: upper, colours, log, half, height: 370 });
    if (lower.length) charts.rate.draw({ curves: lower, colours: tags.rate.map(() => "rate"), log: logScale(lower).better, half: 0, height: 150, steps: true });
    loss.describe(upper, half);
    rate.describe(lower, 0);
    read(null, false);
    for (const watcher of watchers) watcher.again();
  }

  function again() {
    both.forEach((one) => one.again());
    for (const watcher of watchers) watcher.again();
  }

  return {
    refresh,
    shared,
    recolour: () => both.forEach((one) => one.redraw()),
    close: () => both.forEach((one) => one.close()),
  };
}

/** A section with a heading, controls, a key, room for a chart, and its text for those who do not see it. */
function figure(id, text, controls = null) {
  const heading = el("h2", { id: `${id}-title` }, text);
  const key = el("div", { class: "key" });
  const holder = el("div", { class: "chart", id: `${id}-chart`, tabindex: "0", role: "img", "aria-label": text });
  const caption = el("figcaption");
  const numbers = el("details", {}, el("summary", {}, "Numbers"), el("div", { class: "scroll" }));
  let rows = () => [];
  const fillNumbers = () => numbers.open && numbers.lastChild.replaceChildren(...rows());
  numbers.addEventListener("toggle", fillNumbers);
  const section = el("section", { "aria-labelledby": `${id}-title` },
    el("div", { class: "panel-head" }, heading, controls),
    el("figure", {}, key, holder, caption, numbers));
  return {
    section, heading, key, holder,
    describe: (curves, half) => {
      const said = curves.map((curve) => summary(curve, number, count)).join(". ");
      caption.textContent = said;
      holder.setAttribute("aria-label", `${heading.textContent}. ${said}. Arrow keys read values.`);
      rows = () => curves.map((curve) => table(curve, half));
      fillNumbers();
    },
  };
}

function table(curve, half) {
  const last = curve.attempts.at(-1) ?? { steps: [], mean: [], low: [], high: [], bad: [] };
  const n = last.steps.length;
  const picks = [...new Set(Array.from({ length: Math.min(n, ROWS_SHOWN) }, (_, i) => Math.round((i * (n - 1)) / Math.max(1, Math.min(n, ROWS_SHOWN) - 1))))];
  const smoothed = smooth(last.mean, half);
  const head = ["step", "mean", "lowest", "highest", "smoothed", "not finite"];
  return el("table", { class: "numbers" }, el("caption", {}, curve.tag),
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, picks.map((i) => el("tr", {},
      el("th", { scope: "row" }, count(last.steps[i])),
      [last.mean[i], last.low[i], last.high[i], smoothed[i]].map((value) => el("td", {}, number(value))),
      el("td", {}, count(last.bad[i]))))));
}
