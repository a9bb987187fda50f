"""A loss that swings smoothly and evenly, and nothing is gained by it: one case of oscillation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.detectors.robust import Bins, at_quantile, number
from monitor.detectors.swings import crossings, largest


class _Even(NamedTuple):
    """What no wandering noise is like; its turns' lengths spread by about their mean."""

    begin: float
    """Share of the run that comes before the swings."""
    noise: float
    """From point to point, over the swings' standard deviation: at most."""
    turns: int
    """At least so many, from one side of the level to the other."""
    spread: float
    """Standard deviation of the turns' lengths over their mean: at most."""


_FOR_LONG = _Even(begin=0.5, noise=0.7, turns=15, spread=0.15)
_SOON = _Even(begin=0.25, noise=0.5, turns=6, spread=0.1)
"""Fewer turns have to be more even, and smoother: too much momentum rings from the start, and
then dies away."""


def rings(bins: Bins, start: float, swing: float) -> tuple[float, str] | None:
    """Its swings and words for them; ``swing``: their least size over all that was gained."""
    return _rings(bins, start, swing, _FOR_LONG) or _rings(bins, start, swing, _SOON)


def _rings(bins: Bins, start: float, swing: float, even: _Even) -> tuple[float, str] | None:
    part = slice(int(even.begin * len(bins)), None)
    mean = bins.mean[part]
    gain = max(start - at_quantile(bins.mean, 0.05), 0.0)
    if 2.8 * largest(bins, part) < swing * gain:
        return None
    level = float(mean.mean())
    size = float(mean.std())
    if 2.8 * size < swing * gain or size < 1e-4 * abs(level):
        return None
    if bins.noise(part) > even.noise * size:
        return None
    k = len(mean) // 2
    if abs(float(mean[:k].mean() - mean[-k:].mean())) > 0.5 * size:
        return None
    turns = np.diff(crossings(mean - level, 0.5 * size))
    if len(turns) < even.turns or float(turns.std()) > even.spread * float(turns.mean()):
        return None
    period = 2 * float(turns.mean()) * bins.per_bin
    return size, (
        f"the loss swings by about {number(2.8 * size)} around {number(level)} with an even "
        f"period of about {number(period)} points up to step {int(bins.steps[-1])}, having "
        f"gained {number(gain)} since the start"
    )
