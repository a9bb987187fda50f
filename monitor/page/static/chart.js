// One chart of curves over steps, drawn by uPlot.

import { el, style } from "./dom.js";
import { nearest, smooth } from "./series.js";
import { ROW, ROWS, spans } from "./spans.js";
import { count, number } from "./words.js";
import uPlot from "./vendor/uPlot.esm.js";

export const GUTTER = 96; // left of every chart, so that steps stand one below the other
export const EDGE = 14; // right of it

const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 });

/**
 * A chart in `holder`. `shared` is what charts have in common: {range(), zoom(range), state(), key}.
 * `draw({curves, colours, log, half, height, steps})` shows curves, smoothed over `half` points to either side
 * where they are long enough for that, as stairs where values hold until the next (`steps`).
 */
export function chart(holder, shared, { named, read }) {
  let plot = null;
  let form = "";
  let now = null;
  const resize = new ResizeObserver(() => plot?.setSize({ width: holder.clientWidth, height: now.height }));
  resize.observe(holder);

  function draw(wanted) {
    now = wanted;
    const drawn = pieces(wanted);
    const data = drawn.length ? uPlot.join(drawn.map((piece) => piece.data)) : [[], []];
    const wants = JSON.stringify([drawn.map((piece) => piece.form), wanted.log, wanted.height, named && rows(), scheme()]);
    if (plot && wants === form) return plot.setData(data, true);
    form = wants;
    plot?.destroy();
    plot = new uPlot(options(drawn), data, holder);
  }

  const rows = () => Math.min(ROWS, shared.state().alerts.length);

  function options(drawn) {
    const line = { stroke: style("--grid"), width: 1 };
    const axis = { stroke: style("--axis"), font: "11.5px system-ui, sans-serif", grid: line, ticks: { ...line, size: 4 } };
    return {
      width: holder.clientWidth || 600,
      height: now.height,
      padding: [named ? ROW * rows() + 4 : 8, EDGE, 0, 0],
      legend: { show: false },
      scales: { x: { time: false, range: () => shared.range() ?? [0, 1] }, y: { distr: now.log ? 3 : 1 } },
      axes: [
        { ...axis, size: 26, values: (_, ticks) => ticks.map((tick) => short.format(tick)) },
        { ...axis, size: GUTTER, grid: { ...axis.grid, filter: marks }, ticks: { ...axis.ticks, filter: marks }, filter: marks, values: (_, ticks) => ticks.map((tick) => (tick === null ? null : number(tick))) },
      ],
      series: [{}, ...drawn.flatMap((piece) => piece.series)],
      bands: bands(drawn),
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        sync: { key: shared.key, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      },
      plugins: [spans(shared.state, named), unusable(() => now.curves)],
      hooks: {
        setCursor: [(u) => read(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null)],
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          shared.zoom([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]);
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
        ready: [(u) => u.over.addEventListener("dblclick", () => shared.zoom(null))],
      },
    };
  }

  holder.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!plot || !way) return;
    event.preventDefault();
    const width = plot.over.clientWidth;
    const before = plot.cursor.left >= 0 ? plot.cursor.left : width / 2;
    const left = Math.min(Math.max(before + way * (event.shiftKey ? width / 10 : width / 100), 0), width - 1);
    plot.setCursor({ left, top: 1 }, true, true);
  });

  return {
    draw,
    redraw: () => now && draw(now),
    again: () => plot?.setData(plot.data, true),
    mark: (step) => plot?.setCursor({ left: step === null ? -10 : plot.valToPos(step, "x"), top: step === null ? -10 : 1 }, false, false),
    close: () => (resize.disconnect(), plot?.destroy()),
  };
}

const CLOSE = 18; // pixels between two marks, at least
const ROOM = 3.4; // 1, 2 and 5 are marked where a decade has room for as many

/** Of the places that uPlot proposes on the upright axis those that are marked: on a log scale not all nine of each decade. */
function marks(u, places) {
  const { distr, min, max } = u.scales.y;
  if (distr !== 3) return places;
  const decades = Math.log10(max / min);
  const room = u.bbox.height / devicePixelRatio / decades / CLOSE; // marks in a decade
  return places.map((place) => {
    const power = Math.floor(Math.log10(place) + 1e-9);
    const first = Math.round(place / 10 ** power);
    if (decades < 1) return place;
    if (room >= ROOM) return [1, 2, 5].includes(first) ? place : null;
    return first === 1 && power % Math.ceil(1 / room) === 0 ? place : null;
  });
}

const scheme = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** What uPlot draws of each attempt: its lowest and highest values, and the smoothed means. */
function pieces({ curves, colours, log, half, steps }) {
  const paths = steps ? uPlot.paths.stepped({ align: 1 }) : undefined;
  const usable = (values) => (log ? values.map((value) => (value !== null && value > 0 ? value : null)) : values);
  return curves.flatMap((curve, c) => curve.attempts.map((attempt, a) => {
    const latest = a === curve.attempts.length - 1;
    const raw = { paths, stroke: style(`--${colours[c]}-raw`), width: 1, points: { show: attempt.steps.length === 1 } };
    const bold = { paths, stroke: style(`--${colours[c]}`), width: latest ? 2 : 1, points: { show: attempt.steps.length < 3, size: 5 } };
    const means = smooth(usable(attempt.mean), half);
    return {
      form: [curve.tag, colours[c], a, latest, attempt.steps.length < 3],
      band: style(`--${colours[c]}-band`),
      data: [attempt.steps, usable(attempt.low), usable(attempt.high), means],
      series: [raw, raw, bold],
    };
  }));
}

function bands(drawn) {
  return drawn.map(({ band }, i) => ({ series: [3 * i + 2, 3 * i + 1], fill: band }));
}

/** Marks at the top where values were NaN or infinite: they have no place on the axis. */
function unusable(curves) {
  return {
    hooks: {
      draw: (u) => {
        const { ctx, bbox } = u;
        const size = 5 * devicePixelRatio;
        ctx.save();
        ctx.fillStyle = style("--critical");
        for (const { attempts } of curves()) {
          const last = attempts.at(-1);
          last?.bad.forEach((n, i) => {
            const x = n ? u.valToPos(last.steps[i], "x", true) : NaN;
            if (!(x >= bbox.left && x <= bbox.left + bbox.width)) return;
            ctx.beginPath();
            ctx.moveTo(x - size, bbox.top);
            ctx.lineTo(x + size, bbox.top);
            ctx.lineTo(x, bbox.top + 1.6 * size);
            ctx.fill();
          });
        }
        ctx.restore();
      },
    },
  };
}

/** The values of curves at a step, as text for the line above a chart. */
export function readout(curves, colours, step) {
  if (step === null) return curves.map((curve, c) => swatch(colours[c], curve.tag));
  const parts = curves.map((curve, c) => {
    const attempt = curve.attempts.at(-1);
    const i = attempt ? nearest(attempt.steps, step) : -1;
    if (i < 0) return swatch(colours[c], curve.tag);
    const [low, high] = [attempt.low[i], attempt.high[i]];
    const spread = low !== high ? ` (${number(low)} to ${number(high)})` : "";
    const bad = attempt.bad[i] ? `, ${count(attempt.bad[i])} not finite` : "";
    return swatch(colours[c], `${curve.tag} `, el("b", {}, `${number(attempt.mean[i])}${spread}${bad}`), ` at step ${count(attempt.steps[i])}`);
  });
  return parts;
}

const swatch = (colour, ...text) => el("span", {}, el("span", { class: `swatch ${colour}`, "aria-hidden": "true" }), ...text);
