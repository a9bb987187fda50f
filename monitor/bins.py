"""The bins of a curve: moments of equally many points each, in at most ``MAX_BINS`` bins.

Means and variances of bins merge by Chan, Golub and LeVeque's pairwise update, "Algorithms for
computing the sample variance" (1983).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from monitor.points import Curve, Floats, Ints, SeriesKey

MAX_BINS = 256

# Rows of the matrix. M2: sum of squared deviations from the mean; JUMPS: sum of squared differences
# of successive points, HOPS of them.
_WALL, _N, _MEAN, _M2, _LOW, _HIGH, _JUMPS, _HOPS = range(8)


class Bins:
    """Complete bins, in the order of their points; ``roles`` name the context columns."""

    def __init__(self, roles: Iterable[str]) -> None:
        self._steps = np.empty(MAX_BINS, np.int64)
        self._numbers = np.empty((8, MAX_BINS))
        self._context = {role: np.empty(MAX_BINS) for role in roles}
        self._count = 0

    @property
    def full(self) -> bool:
        return self._count == MAX_BINS

    def add(
        self,
        steps: Ints,
        wall_times: Floats,
        values: Floats,
        context: Mapping[str, Floats],
        per_bin: int,
        last: float,
    ) -> None:
        """Adds the points of bins of ``per_bin`` points each, which must fit: [B * per_bin].

        ``last`` is the value before the first of the points; NaN if there is none.
        """
        ends = slice(per_bin - 1, None, per_bin)
        begin, self._count = self._count, self._count + len(steps) // per_bin
        here = slice(begin, self._count)
        self._steps[here] = steps[ends]
        for role, column in context.items():
            self._context[role][here] = column[ends]
        if len(steps) == 1:
            numbers = _single(float(values[0]), last)
            self._numbers[:, begin] = (float(wall_times[0]), *numbers)
        else:
            self._numbers[_WALL, here] = wall_times[ends]
            self._numbers[_N:, here] = _moments(values, per_bin, last)

    def merge_pairs(self) -> None:
        """Half as many bins, each of two neighbours."""
        half = self._count // 2
        a, b = self._numbers[:, : 2 * half : 2], self._numbers[:, 1 : 2 * half : 2]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            na, nb = a[_N], b[_N]
            n = na + nb
            mean_a = np.where(na > 0, a[_MEAN], 0.0)
            mean_b = np.where(nb > 0, b[_MEAN], 0.0)
            delta = np.where((na > 0) & (nb > 0), mean_b - mean_a, 0.0)
            merged = np.stack(
                (
                    b[_WALL],
                    n,
                    (mean_a * na + mean_b * nb) / n,
                    a[_M2] + b[_M2] + np.where(n > 0, delta * delta * na * nb / n, 0.0),
                    np.fmin(a[_LOW], b[_LOW]),
                    np.fmax(a[_HIGH], b[_HIGH]),
                    a[_JUMPS] + b[_JUMPS],
                    a[_HOPS] + b[_HOPS],
                )
            )
        self._numbers[:, :half] = merged
        self._steps[:half] = self._steps[1 : 2 * half : 2]
        for column in self._context.values():
            column[:half] = column[1 : 2 * half : 2]
        self._count = half

    @property
    def means(self) -> Floats:
        """Of each bin; NaN where no value was finite. A copy."""
        means: Floats = self._numbers[_MEAN, : self._count].copy()
        return means

    def curve(
        self, key: SeriesKey, per_bin: int, first_step: int, head: Floats, size: int
    ) -> Curve:
        """The first ``size`` bins; the arrays are views, good until bins are merged."""
        numbers = self._numbers[:, :size]
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(numbers[_M2] / numbers[_N])
            roughness = np.sqrt(numbers[_JUMPS] / numbers[_HOPS])
        return Curve(
            key=key,
            per_bin=per_bin,
            count=size * per_bin,
            first_step=first_step,
            steps=self._steps[:size],
            wall_times=numbers[_WALL],
            mean=numbers[_MEAN],
            low=numbers[_LOW],
            high=numbers[_HIGH],
            spread=spread,
            roughness=roughness,
            head=head,
            context={role: column[:size] for role, column in self._context.items()},
        )


def _single(value: float, last: float) -> tuple[float, ...]:
    """The moments of a bin of one point: the same as :func:`_moments`, without its arrays."""
    jump = value - last
    square = jump * jump if math.isfinite(jump) else 0.0
    hops = float(math.isfinite(jump))
    if math.isfinite(value):
        return 1.0, value, 0.0, value, value, square, hops
    return 0.0, math.nan, 0.0, math.nan, math.nan, square, hops


def _moments(flat: Floats, per_bin: int, last: float) -> Floats:
    """[7, B]: number, mean, ... of the finite ones of ``flat`` [B * per_bin] in each bin."""
    values = flat.reshape(-1, per_bin)
    jumps = np.empty_like(flat)
    between = jumps.reshape(-1, per_bin)
    found = np.empty((7, len(values)))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        jumps[0] = flat[0] - last
        np.subtract(flat[1:], flat[:-1], out=jumps[1:])
        # A jump is finite only between finite values; the reverse fails for huge ones.
        if np.isfinite(jumps).all():
            _moments_of_all(values, between, found)
        else:
            _moments_of_known(values, between, found)
    return found


def _moments_of_all(values: Floats, jumps: Floats, found: Floats) -> None:
    """Where everything is finite: bit for bit :func:`_moments_of_known`, in half the time."""
    per_bin = values.shape[1]
    found[0] = found[6] = per_bin
    mean = np.divide(values.sum(axis=1), per_bin, out=found[1])
    away = values - mean[:, None]
    np.sum(away * away, axis=1, out=found[2])
    np.min(values, axis=1, out=found[3])
    np.max(values, axis=1, out=found[4])
    np.sum(jumps * jumps, axis=1, out=found[5])


def _moments_of_known(values: Floats, jumps: Floats, found: Floats) -> None:
    """Of the finite ones; a bin without any is NaN."""
    finite, known = np.isfinite(values), np.isfinite(jumps)
    n = finite.sum(axis=1).astype(np.float64)
    mean = np.where(finite, values, 0.0).sum(axis=1) / n  # 0 / 0: an empty bin is NaN
    away = np.where(finite, values - mean[:, None], 0.0)
    found[0], found[1] = n, mean
    found[2] = (away * away).sum(axis=1)
    found[3] = np.where(n > 0, np.where(finite, values, np.inf).min(axis=1), np.nan)
    found[4] = np.where(n > 0, np.where(finite, values, -np.inf).max(axis=1), np.nan)
    found[5] = np.where(known, jumps * jumps, 0.0).sum(axis=1)
    found[6] = known.sum(axis=1)
