"""Consecutive points of an attempt in a bounded number of buckets that lose no extreme.

All buckets hold equally many points; when there are too many of them, neighbours are merged, and a
bucket then holds twice as many. So buckets depend on the points only, not on how they were read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.points import Floats, Ints

_SUM, _KNOWN, _LOW, _HIGH, _BAD = range(5)


@dataclass(frozen=True, slots=True)
class Thinned:
    """Buckets in order: ``steps`` is [B], the rest [B, N]."""

    steps: Ints
    """Of the last point of each bucket."""
    mean: Floats
    """Of the finite values; NaN where there is none, as in ``low`` and ``high``."""
    low: Floats
    high: Floats
    bad: Ints
    """How many values were NaN or infinite."""


class Buckets:
    """At most ``most`` (even) buckets of rows of N values."""

    def __init__(self, most: int, width: int) -> None:
        self._most = most
        self._numbers = np.empty((5, 0, width))
        self._steps = np.empty(0, np.int64)
        self._rest_steps = np.empty(0, np.int64)
        self._rest = np.empty((0, width))
        self._per_bucket = 1
        self.count = 0
        """Points so far."""

    def append(self, steps: Ints, values: Floats) -> None:
        """Takes points: steps [T], values [T, N]."""
        self.count += len(steps)
        steps = np.concatenate((self._rest_steps, steps))
        values = np.concatenate((self._rest, values))
        at = 0
        while (len(steps) - at) // self._per_bucket:
            room = self._most - len(self._steps)
            take = min(room, (len(steps) - at) // self._per_bucket) * self._per_bucket
            part = slice(at, at + take)
            self._add(steps[part], values[part])
            at += take
            if len(self._steps) == self._most:
                self._numbers = _merged(self._numbers, np.arange(0, self._most, 2))
                self._steps = self._steps[1::2].copy()
                self._per_bucket *= 2
        self._rest_steps, self._rest = steps[at:].copy(), values[at:].copy()

    def _add(self, steps: Ints, values: Floats) -> None:
        made = _made(values, np.arange(0, len(steps), self._per_bucket))
        self._numbers = np.concatenate((self._numbers, made), axis=1)
        self._steps = np.concatenate((self._steps, steps[self._per_bucket - 1 :: self._per_bucket]))

    def thinned(self, most: int) -> Thinned:
        """What there is, in at most ``most`` buckets."""
        numbers, steps = self._numbers, self._steps
        if len(self._rest_steps):
            numbers = np.concatenate((numbers, _made(self._rest, np.array([0]))), axis=1)
            steps = np.append(steps, self._rest_steps[-1])
        if len(steps) > most:
            edges = np.arange(0, len(steps), -(-len(steps) // most))
            numbers = _merged(numbers, edges)
            steps = steps[np.append(edges[1:], len(steps)) - 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = numbers[_SUM] / numbers[_KNOWN]
        none = numbers[_KNOWN] == 0
        return Thinned(
            steps=steps,
            # What overflows in the sum is between the extremes all the same.
            mean=np.clip(mean, numbers[_LOW], numbers[_HIGH]) if len(steps) else mean,
            low=np.where(none, np.nan, numbers[_LOW]),
            high=np.where(none, np.nan, numbers[_HIGH]),
            bad=numbers[_BAD].astype(np.int64),
        )


def _made(values: Floats, edges: Ints) -> Floats:
    """The numbers [5, B, N] of buckets of values [T, N] that begin at ``edges`` [B]."""
    finite = np.isfinite(values)
    with np.errstate(over="ignore"):
        return np.stack(
            (
                np.add.reduceat(np.where(finite, values, 0.0), edges),
                np.add.reduceat(finite.astype(np.float64), edges),
                np.minimum.reduceat(np.where(finite, values, np.inf), edges),
                np.maximum.reduceat(np.where(finite, values, -np.inf), edges),
                np.add.reduceat((~finite).astype(np.float64), edges),
            )
        )


def _merged(numbers: Floats, edges: Ints) -> Floats:
    """Buckets made of those that begin at ``edges``."""
    with np.errstate(over="ignore"):
        return np.stack(
            (
                np.add.reduceat(numbers[_SUM], edges),
                np.add.reduceat(numbers[_KNOWN], edges),
                np.minimum.reduceat(numbers[_LOW], edges),
                np.maximum.reduceat(numbers[_HIGH], edges),
                np.add.reduceat(numbers[_BAD], edges),
            )
        )
