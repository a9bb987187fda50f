// A curve as small as a word.

import { svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 26;

/** The values in order; null is a gap. Log scale where they are orders of magnitude apart. */
export function sparkline(values, label) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return null;
  const log = Math.min(...known) > 0 && Math.max(...known) / Math.min(...known) > 100;
  const height = (value) => (log ? Math.log10(value) : value);
  const [low, high] = [Math.min(...known.map(height)), Math.max(...known.map(height))];
  const x = (i) => 2 + ((WIDTH - 4) * i) / (values.length - 1);
  const y = (value) => (high > low ? 3 + (HEIGHT - 6) * (1 - (height(value) - low) / (high - low)) : HEIGHT / 2);
  let path = "";
  values.forEach((value, i) => {
    if (value === null) return;
    path += `${i && values[i - 1] !== null ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  const last = values.findLastIndex((value) => value !== null);
  return svg(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": label },
    svg("path", { d: path }),
    svg("circle", { cx: x(last), cy: y(values[last]), r: 2 }),
  );
}
