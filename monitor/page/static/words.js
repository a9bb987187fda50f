// Numbers and times as people read them.

const COUNT = new Intl.NumberFormat("en-US");

export const count = (n) => COUNT.format(n);

export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

/** Four significant digits; null is what was not finite. */
export function number(value) {
  if (value === null || value === undefined) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** A time span in seconds, in its two greatest units at most. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`;
  return `${count(Math.round(s / 86400))} d`;
}

export const age = (time) => (time > 0 ? `${span(Date.now() / 1000 - time)} ago` : "never");

export const moment = (time) => (time > 0 ? new Date(time * 1000).toLocaleString() : "never");

export const HEALTH = { critical: "Critical", warning: "Warning", info: "Info", ok: "No alert" };

/** `.` is the log directory itself. */
export const title = (run) => (run === "." ? "this run" : run);
