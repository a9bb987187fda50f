"""How a stretch of a curve swings: how far, in which order, and how often."""

from __future__ import annotations

import numpy as np

from monitor.detectors.robust import SIGMA, Bins, blocks, middle
from monitor.points import Floats, Ints


def largest(bins: Bins, part: slice) -> float:
    """No standard deviation of 16 points or more of this part is larger.

    It is at most half of their range (Popoviciu), times 16/15 under the root for that of a sample.
    Costs a tenth of :func:`structure`, and of a loss that has fallen far it says enough.
    """
    return 0.52 * float(bins.high[part].max() - bins.low[part].min())


def structure(bins: Bins, part: slice) -> tuple[float, float]:
    """Standard deviation of the points around short means, and their lag-1 correlation.

    From stretches of at least 16 points, of which the median is taken: a spike or a slow trend
    touches few or none. White noise has correlation 0, alternation -1, slow swings near 1.
    """
    group = max(1, -(-16 // bins.per_bin))
    mean, spread, rough = bins.mean[part], bins.spread[part], bins.rough[part]
    n = len(mean) // group
    if not n:
        return 0.0, 0.0
    count = group * bins.per_bin
    if group == 1:
        inside, jumps = spread * spread, rough * rough
    else:
        mean, spread, rough = (blocks(column, group) for column in (mean, spread, rough))
        inside = (spread * spread).mean(axis=1) + mean.var(axis=1)
        # Of single points without the jump across the border.
        between = np.diff(mean, axis=1) if bins.per_bin == 1 else rough
        jumps = (between * between).mean(axis=1)
    variance = inside * count / (count - 1)
    good = variance > 0
    if not good.any():
        return 0.0, 0.0
    rho = 1.0 - middle(np.minimum(jumps[good] / (2.0 * variance[good]), 2.0))
    return middle(variance) ** 0.5, rho


def calmness(head: Floats) -> float:
    """Noise of the first points, before a kick: the calmest recent of what was logged first."""
    first = head[: max(4, len(head) // 2)]
    return SIGMA * middle(np.abs(first - middle(first)))


def cycles(bins: Bins, part: slice, level: float) -> int:
    """How often the bins cross the level, recent a standard deviation either way."""
    mean = bins.mean[part] - level
    if middle(bins.spread[part]) > float(mean.std()):
        return len(mean)  # the swings are shorter than a bin
    return len(crossings(mean, 0.5 * float(mean.std())))


def crossings(values: Floats, band: float) -> Ints:
    """Where the values have come from below -band to above band, or back."""
    side = np.where(values > band, 1, np.where(values < -band, -1, 0))
    outside = np.flatnonzero(side)
    changed = np.flatnonzero(np.diff(side[outside]) != 0) + 1
    return outside[changed]
