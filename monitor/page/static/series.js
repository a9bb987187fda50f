// Curves as the monitor sends them, made ready to be drawn: pure functions.
// A curve is {tag, points, attempts: [{steps, mean, low, high, bad}]}, columns of equal length; `bad`
// counts values that were not finite, and null stands where none was.

/** Whether a log scale can show all of it, and whether it is the better one. */
export function logScale(curves) {
  let [low, high] = [Infinity, -Infinity];
  for (const { attempts } of curves) {
    for (const attempt of attempts) {
      for (const value of attempt.low) if (value !== null && value < low) low = value;
      for (const value of attempt.high) if (value !== null && value > high) high = value;
    }
  }
  const possible = low > 0 && low < Infinity;
  return { possible, better: possible && high / low > 100 };
}

const LONG = 64;

/**
 * The median of the means around each point, `half` to either side: it is drawn neither too late nor, where a curve
 * leaps, too early, and one spike does not hide what is beside it. Gaps stay gaps. What has few points (an
 * evaluation for each epoch) stays as it is.
 */
export function smooth(means, half) {
  if (means.length < LONG || !(half > 0)) return means;
  return means.map((mean, i) => {
    if (mean === null) return null;
    const around = means.slice(Math.max(0, i - half), i + half + 1).filter((value) => value !== null);
    const sorted = Float64Array.from(around).sort();
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  });
}

/** First and last step of all curves; null if there is no point. */
export function extent(curves) {
  let [low, high] = [Infinity, -Infinity];
  for (const { attempts } of curves) {
    for (const { steps } of attempts) {
      if (!steps.length) continue;
      low = Math.min(low, steps[0]);
      high = Math.max(high, steps.at(-1));
    }
  }
  return low <= high ? [low, high] : null;
}

/** The number of the bucket of `steps` (ascending) nearest to `step`; -1 if there is none. */
export function nearest(steps, step) {
  let [low, high] = [0, steps.length - 1];
  if (high < 0) return -1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle + 1;
    else high = middle;
  }
  return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
}

/** What a curve is like, for those who do not see it. */
export function summary(curve, number, count) {
  const last = curve.attempts.at(-1);
  if (!last || !last.steps.length) return `${curve.tag}: no points`;
  const known = last.mean.filter((value) => value !== null);
  const lows = last.low.filter((value) => value !== null);
  const highs = last.high.filter((value) => value !== null);
  const bad = last.bad.reduce((sum, n) => sum + n, 0);
  const parts = [`${curve.tag}: ${count(curve.points)} points, steps ${count(last.steps[0])} to ${count(last.steps.at(-1))}`];
  if (known.length) {
    const [low, high] = [lows.reduce((a, b) => Math.min(a, b)), highs.reduce((a, b) => Math.max(a, b))];
    parts.push(`first ${number(known[0])}, last ${number(known.at(-1))}, lowest ${number(low)}, highest ${number(high)}`);
  }
  if (bad) parts.push(`${count(bad)} not finite`);
  if (curve.attempts.length > 1) parts.push(`attempt ${curve.attempts.length} of ${curve.attempts.length}, earlier ones drawn faintly`);
  return parts.join("; ");
}
