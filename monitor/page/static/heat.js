// Layer statistics over steps as a heat map: one row per layer in depth order, viridis, log colours.

import { ask } from "./ask.js";
import { el, style } from "./dom.js";
import { viridis } from "./viridis.js";
import { count, number, plural } from "./words.js";

const FAVOURITE = "grad_norm";
const ROW_MOST = 18;
const ROW_LEAST = 3;
const TALL = 420;
const LABEL = 12;
const FOOT = 4;

/** Adds the heat map to `column`; `lines` are the charts above, whose steps it shares. */
export function heat(column, run, lines) {
  const { shared } = lines;
  let found = null;
  let asked = "";
  let at = null; // {column, row} under the pointer or reached by keys

  const select = el("select", { id: "stat", onchange: () => void load().then(draw) });
  const key = el("div", { class: "key" });
  const canvas = el("canvas", { id: "heat-canvas", tabindex: "0", role: "img", "aria-label": "Layers over steps" });
  const holder = el("div", { class: "heat" }, canvas);
  const caption = el("figcaption");
  const numbers = el("details", {}, el("summary", {}, "Numbers"), el("div", { class: "scroll" }));
  const section = el("section", { "aria-labelledby": "heat-title", hidden: true },
    el("div", { class: "panel-head" }, el("h2", { id: "heat-title" }, "Layers over steps"),
      el("div", { class: "buttons" }, el("label", { for: "stat" }, "Statistic"), select)),
    el("figure", {}, key, holder, caption, numbers));
  column.append(section);
  const resize = new ResizeObserver(() => draw());
  resize.observe(holder);
  shared.watch({ again: () => draw(), mark: (step) => mark(step) });
  numbers.addEventListener("toggle", () => table());

  async function refresh(document) {
    section.hidden = !document.layer_stats.length;
    if (section.hidden) return true;
    if (select.dataset.options !== JSON.stringify(document.layer_stats)) {
      select.dataset.options = JSON.stringify(document.layer_stats);
      const before = select.value || FAVOURITE;
      select.replaceChildren(...document.layer_stats.map((stat) => el("option", { value: stat }, stat.replaceAll("_", " "))));
      select.value = document.layer_stats.includes(before) ? before : document.layer_stats[0];
    }
    const wants = JSON.stringify([document.last_step, document.last_event]);
    if (wants === asked) return true;
    await load();
    asked = found?.whole === false ? "" : wants;
    draw();
    return asked !== "";
  }

  async function load() {
    try {
      found = await ask("layers", { run, stat: select.value });
    } catch (error) {
      found = null;
      caption.textContent = error.message;
    }
    at = null;
  }

  const rowHeight = () => Math.max(ROW_LEAST, Math.min(ROW_MOST, Math.floor(TALL / found.layers.length)));

  /** What values are possible: logarithms where all are positive or zero, else the numbers as they are. */
  function shading() {
    const log = found.lowest === null || found.lowest >= 0;
    const [low, high] = log ? [found.lowest_positive, found.highest] : [found.lowest, found.highest];
    const height = log ? Math.log10 : (value) => value;
    const span = height(high) - height(low);
    return { log, low, high, share: (value) => (span > 0 ? (height(value) - height(low)) / span : 0.5) };
  }

  function draw() {
    const width = holder.clientWidth;
    if (!found || section.hidden || !width || !found.steps.length) return;
    const range = shared.range() ?? [found.steps[0], found.steps.at(-1)];
    const ratio = devicePixelRatio;
    const [tall, across] = [rowHeight(), width - shared.gutter - shared.edge];
    const height = tall * found.layers.length + FOOT;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    cells(ctx, { tall, x: (step) => shared.gutter + (across * (step - range[0])) / (range[1] - range[0] || 1), across });
    labels(ctx, tall);
    describe();
    mark(null);
  }

  function cells(ctx, { tall, x, across }) {
    const { share } = shading();
    ctx.save();
    ctx.beginPath();
    ctx.rect(shared.gutter, 0, across, tall * found.layers.length);
    ctx.clip();
    const { steps } = found;
    // What was seen holds until something else is, and no fault is drawn before it came; the last for as long as
    // the one before it.
    const edges = [...steps, 2 * steps.at(-1) - (steps.at(-2) ?? steps.at(-1) - 1)].map(x);
    found.values.forEach((values, row) => values.forEach((value, i) => {
      if (value === null || edges[i + 1] < shared.gutter) return;
      ctx.fillStyle = colour(value, share);
      // A shade wider than it is, so that no seams show.
      ctx.fillRect(edges[i], row * tall, Math.max(1, edges[i + 1] - edges[i] + 0.5), tall > 6 ? tall - 1 : tall);
    }));
    ctx.restore();
  }

  function colour(value, share) {
    if (value === "bad") return style("--critical");
    if (value === 0 && found.lowest >= 0) return "#000";
    return `rgb(${viridis(share(value)).join(" ")})`;
  }

  function labels(ctx, tall) {
    ctx.fillStyle = style("--axis");
    ctx.font = "11px system-ui, sans-serif";
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    const each = Math.ceil(LABEL / tall);
    found.layers.forEach((name, row) => {
      if (row % each === 0) ctx.fillText(shortened(ctx, name), shared.gutter - 6, (row + 0.5) * tall);
    });
  }

  function shortened(ctx, name) {
    const room = shared.gutter - 8;
    if (ctx.measureText(name).width <= room) return name;
    for (let from = 1; from < name.length; from++) {
      const text = `…${name.slice(from)}`;
      if (ctx.measureText(text).width <= room) return text;
    }
    return "…";
  }

  function describe() {
    const { log, low, high } = shading();
    const more = found.left_out ? ` ${plural(found.left_out, "further layer")} not shown.` : "";
    const text = `${select.value.replaceAll("_", " ")}: ${plural(found.layers.length, "layer")} in depth order, the input's first, steps ${count(found.steps[0])} to ${count(found.steps.at(-1))}; from ${number(low)} to ${number(high)}, the greatest of the steps that share a cell, each held until the next, ${log ? "colours on a log scale" : "colours on a linear scale"}.${more}`;
    caption.textContent = text;
    canvas.setAttribute("aria-label", `${text} Arrow keys read cells.`);
    table();
  }

  function mark(step) {
    if (!found || !found.steps.length) return;
    const { low, high } = shading();
    const parts = [el("span", {}, number(low), ramp(), number(high))];
    if (found.zeros) parts.push(el("span", {}, "black: exactly 0"));
    if (found.bad) parts.push(el("span", { class: "badge critical" }, "red: not finite"));
    if (at) {
      const value = found.values[at.row][at.column];
      const text = value === null ? "none" : value === "bad" ? "not finite" : number(value);
      parts.push(el("span", {}, `${found.layers[at.row]} `, el("b", {}, text), ` at step ${count(found.steps[at.column])}`));
    } else if (step !== null) parts.push(el("span", {}, `step ${count(Math.round(step))}`));
    key.replaceChildren(...parts);
  }

  function ramp() {
    const node = el("canvas", { class: "ramp", width: 120, height: 10, "aria-hidden": "true" });
    const ctx = node.getContext("2d");
    for (let i = 0; i < 120; i++) {
      ctx.fillStyle = `rgb(${viridis(i / 119).join(" ")})`;
      ctx.fillRect(i, 0, 1, 10);
    }
    return node;
  }

  function table() {
    if (!numbers.open || !found) return;
    const n = found.steps.length;
    const picks = [...new Set([0, n >> 2, n >> 1, (3 * n) >> 2, n - 1])];
    const text = (value) => (value === null ? "" : value === "bad" ? "not finite" : number(value));
    numbers.lastChild.replaceChildren(el("table", { class: "numbers" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "layer"), picks.map((i) => el("th", { scope: "col" }, `step ${count(found.steps[i])}`)))),
      el("tbody", {}, found.layers.map((name, row) => el("tr", {}, el("th", { scope: "row" }, name), picks.map((i) => el("td", {}, text(found.values[row][i]))))))));
  }

  function point(x, y) {
    const range = shared.range() ?? [found.steps[0], found.steps.at(-1)];
    const across = holder.clientWidth - shared.gutter - shared.edge;
    const step = range[0] + ((x - shared.gutter) / across) * (range[1] - range[0]);
    const row = Math.floor(y / rowHeight());
    const inside = x >= shared.gutter && row >= 0 && row < found.layers.length;
    at = inside ? { row, column: Math.max(0, found.steps.findLastIndex((seen) => seen <= step)) } : null;
    mark(null);
    shared.mark(at ? found.steps[at.column] : null);
  }

  canvas.addEventListener("pointermove", (event) => found && point(event.offsetX, event.offsetY));
  canvas.addEventListener("pointerleave", () => {
    at = null;
    mark(null);
    shared.mark(null);
  });
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || !found) return;
    event.preventDefault();
    const now = at ?? { column: found.steps.length - 1, row: 0 };
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    at = { column: within(now.column + way[0], found.steps.length - 1), row: within(now.row + way[1], found.layers.length - 1) };
    mark(null);
    shared.mark(found.steps[at.column]);
  });

  return { refresh, recolour: () => draw(), close: () => resize.disconnect() };
}
