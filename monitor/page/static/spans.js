// Alerts on a chart: a band from where each fired to where it resolved, paler from where the trouble
// began, its name above; and a frame around what the chosen alert's rule saw.

import { style } from "./dom.js";

export const ROW = 17; // height of a row of names, in CSS pixels
export const ROWS = 4;
const MOST = 60;

/** A plugin of uPlot. `state()` gives {alerts, chosen, end}; `named` if the names are wanted. */
export function spans(state, named) {
  return {
    hooks: {
      drawClear: (u) => {
        const { alerts, chosen, end } = state();
        const { ctx, bbox } = u;
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        for (const alert of alerts.slice(-MOST)) band(u, alert, end);
        if (chosen && chosen.saw_from !== null) saw(u, chosen);
        ctx.restore();
      },
      draw: (u) => named && names(u, state()),
    },
  };
}

function at(u, step) {
  const [low, high] = [u.scales.x.min, u.scales.x.max];
  return u.valToPos(Math.min(Math.max(step, low - (high - low)), high + (high - low)), "x", true);
}

function band(u, alert, end) {
  const { ctx, bbox } = u;
  const [onset, fired] = [at(u, Math.min(alert.onset_step, alert.fired_step)), at(u, alert.fired_step)];
  const over = at(u, alert.active ? Math.max(end, alert.fired_step) : alert.resolved_step);
  ctx.fillStyle = style(`--${alert.severity}`);
  ctx.globalAlpha = 0.07;
  ctx.fillRect(onset, bbox.top, fired - onset, bbox.height);
  ctx.globalAlpha = 0.15;
  ctx.fillRect(fired, bbox.top, Math.max(over - fired, devicePixelRatio), bbox.height);
  ctx.globalAlpha = 0.9;
  ctx.fillRect(fired, bbox.top, devicePixelRatio, bbox.height);
  ctx.globalAlpha = 1;
}

function saw(u, alert) {
  const { ctx, bbox } = u;
  const [from, to] = [at(u, alert.saw_from), at(u, alert.fired_step)];
  const width = Math.max(to - from, 3 * devicePixelRatio);
  ctx.fillStyle = ctx.strokeStyle = style("--saw");
  ctx.globalAlpha = 0.06;
  ctx.fillRect(from, bbox.top, width, bbox.height);
  ctx.globalAlpha = 1;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.strokeRect(from, bbox.top + 1, width, bbox.height - 2);
  ctx.setLineDash([]);
}

function names(u, { alerts, chosen }) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const ends = new Array(ROWS).fill(-Infinity);
  ctx.save();
  ctx.font = `${11.5 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const shown = alerts.slice(-MOST).toSorted((a, b) => a.fired_step - b.fired_step);
  for (const alert of shown) {
    const x = at(u, alert.fired_step);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const width = ctx.measureText(alert.alert).width;
    // Beside the line where there is room, else ending at the chart's edge.
    const left = Math.min(x, bbox.left + bbox.width - width);
    const row = ends.findIndex((end) => end <= left);
    if (row < 0) continue;
    ends[row] = left + width + 8 * ratio;
    const y = bbox.top - (row + 0.5) * ROW * ratio;
    ctx.fillStyle = style(`--${alert.severity}`);
    ctx.globalAlpha = chosen && alert !== chosen && !alert.active ? 0.75 : 1;
    ctx.fillText(alert.alert, left, y);
    ctx.globalAlpha = 0.5;
    ctx.fillRect(x, y + 6 * ratio, ratio, bbox.top - y - 6 * ratio);
    ctx.globalAlpha = 1;
  }
  ctx.restore();
}
