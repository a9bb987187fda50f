"""A loss whose scatter has grown by orders of magnitude about a level that it keeps."""

from __future__ import annotations

from monitor.detectors.robust import Bins, fold, middle, number
from monitor.detectors.swings import calmness, structure

_POINTS = 200
"""Quarters of 50, in which a scatter is known to a tenth."""


def grown_wild(bins: Bins, start: float, growth: float, swing: float) -> tuple[float, str] | None:
    """It swings ``growth`` times as far as it ever did in its first quarter, in whatever order.

    And by ``swing`` times all that was gained, to above its start, while its level has neither
    fallen nor risen by as much: minibatch noise is as large as the batches differ, which changes
    with the loss and not without it, so that such noise comes from the weights. A loss that grows
    with its noise (a value function with the returns), or had not fallen by three times what
    it scattered at first, is another matter.
    """
    quarter = len(bins) // 4
    if bins.points < _POINTS or quarter < 4:
        return None
    first, last = slice(quarter), slice(len(bins) - quarter, None)
    size = structure(bins, last)[0]
    before = max(structure(bins, first)[0], calmness(bins.head))
    if size <= growth * before or before <= 0:
        return None
    eighth = slice(len(bins) - quarter // 2, None)
    levels = [middle(bins.mean[part]) for part in (first, last)]
    if abs(middle(bins.mean[eighth]) - levels[1]) > size:
        return None  # It is on its way elsewhere: divergence.
    gain = max(start - min(levels), 0.0)
    high = middle(bins.high[last])
    if (
        start - levels[0] < 3 * before
        or 2.8 * size < swing * gain
        or high < start + 0.5 * size
        or abs(levels[1] - levels[0]) > size
    ):
        return None
    return size, (
        f"the loss swings by about {number(2.8 * size)} around {number(levels[1])} up to step "
        f"{int(bins.steps[-1])}, {fold(size / before)} its scatter in the first quarter of the "
        f"run, without having come down, and gained {number(gain)}"
    )
