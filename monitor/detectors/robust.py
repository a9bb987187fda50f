"""Numerics that the detectors share: order statistics that skip NaN, blocks, formatting.

numpy's ``nanmedian`` and ``quantile`` cost 50 to 100 us a call even on 20 numbers; a sort and a
look at the right place do the same in 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monitor.points import Curve, Floats

GREATEST = 1e120
"""Beyond this a number is as good as infinite: its square and sums of those must not overflow."""

SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def quantile(values: Floats, q: float) -> Floats:
    """Along the last axis, skipping NaN; the nearest of the values, NaN if there is none."""
    ordered = np.sort(values, axis=-1)  # NaN last
    known = np.count_nonzero(~np.isnan(ordered), axis=-1)
    return _at(ordered, np.maximum(np.rint(q * (known - 1)), 0).astype(np.intp))


def median(values: Floats) -> Floats:
    """Along the last axis, skipping NaN; the mean of the two middle values; NaN if none."""
    ordered = np.sort(values, axis=-1)
    known = np.count_nonzero(~np.isnan(ordered), axis=-1)
    low = np.maximum((known - 1) // 2, 0)
    high = np.minimum(known // 2, np.maximum(known - 1, 0))
    return (_at(ordered, low) + _at(ordered, high)) / 2.0


def _at(values: Floats, column: NDArray[np.intp]) -> Floats:
    """One number of each row; numpy's take_along_axis takes five times as long for few rows."""
    flat = values.reshape(-1, values.shape[-1])
    picked: Floats = flat[np.arange(len(flat)), np.ravel(column)]
    return picked.reshape(values.shape[:-1])


def middle(values: Floats) -> float:
    """The median of a few finite numbers, fast."""
    n = len(values)
    ordered = values.copy()
    ordered.sort()  # np.sort takes a microsecond more
    return float(ordered[n // 2] + ordered[(n - 1) // 2]) / 2.0


def midmean(values: Floats) -> float:
    """The mean of the middle half of a few finite numbers: nearly as robust as their median, and
    as sure with three quarters of the numbers.
    """
    n = len(values)
    ordered = values.copy()
    ordered.sort()
    return float(ordered[n // 4 : n - n // 4].mean())


def at_quantile(values: Floats, q: float) -> float:
    """The number at quantile ``q`` of a few finite numbers, fast."""
    ordered = values.copy()
    ordered.sort()
    return float(ordered[round(q * (len(values) - 1))])


def blocks(values: Floats, size: int) -> Floats:
    """[len // size, size]: consecutive blocks, the first few numbers left over."""
    n = len(values) // size
    return values[len(values) - n * size :].reshape(n, size)


@dataclass(frozen=True)
class Bins:
    """The bins of a curve that hold finite values, in order."""

    per_bin: int
    steps: Floats
    mean: Floats
    low: Floats
    high: Floats
    spread: Floats
    rough: Floats
    head: Floats
    """The first finite values."""

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def points(self) -> int:
        """How many points the bins hold."""
        return len(self.mean) * self.per_bin

    def bins(self, points: float) -> int:
        """How many bins hold at least so many points."""
        return max(1, math.ceil(points / self.per_bin))

    def noise(self, chosen: slice = slice(None)) -> float:
        """Standard deviation of a point from one step to the next, spikes left out.

        From differences of successive points, so that a trend does not count.
        """
        rough = self.rough[chosen]
        # One difference is half-normal, many of them are averaged in a bin already.
        factor = 1.0483 if self.per_bin == 1 else 0.7071
        return factor * middle(rough) if len(rough) else 0.0


@lru_cache(maxsize=1)  # All detectors of a series are shown the same curve in turn.
def bins_of(curve: Curve) -> Bins:
    """The curve without its empty or infinite bins."""
    steps = curve.steps.astype(np.float64)
    mean, low, high, head = curve.mean, curve.low, curve.high, curve.head
    rough = np.where(curve.roughness < GREATEST, curve.roughness, 0.0)
    spread = np.where(curve.spread < GREATEST, curve.spread, 0.0)
    good = (np.abs(mean) < GREATEST) & (high < GREATEST) & (low > -GREATEST)
    if not good.all():
        steps, mean, low, high = steps[good], mean[good], low[good], high[good]
        rough, spread = rough[good], spread[good]
    head = head[np.abs(head) < GREATEST]
    return Bins(
        curve.per_bin, steps, mean, low, high, spread, rough, head if len(head) else mean[:16]
    )


def tau(values: Floats) -> float:
    """Kendall's tau against the order in time; of at most 64 of them, evenly picked."""
    chosen = values[:: -(-len(values) // 64)]
    later = np.sign(chosen[None, :] - chosen[:, None])
    n = len(chosen)
    return float(np.triu(later, 1).sum()) / (n * (n - 1) / 2)


def number(value: float) -> str:
    """For people: four significant digits."""
    return f"{value:.4g}"


def fold(ratio: float) -> str:
    """For people: ``320-fold``, ``1.2e+05-fold``."""
    return f"{ratio:.2g}-fold" if ratio >= 1000 or ratio < 10 else f"{ratio:.0f}-fold"


def check(field: str, ok: bool, message: str) -> None:
    """ValueError in the shape in which rule files report it."""
    if not ok:
        raise ValueError(f"{field}: {message}")
