"""The numbers that a detector saw, in a few rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from monitor.detectors import WindowDetector
from monitor.detectors.base import Detector
from monitor.points import Floats, Ints

MOST_ROWS = 16
LEAST_POINTS = 8
AFTER = 3
"""Points after the alert."""


@dataclass(frozen=True, slots=True)
class Row:
    """Consecutive points."""

    first_step: int
    last_step: int
    points: int
    mean: float
    low: float
    high: float
    not_finite: int
    fired: bool
    """Whether the alert fired at its last point."""
    others: tuple[float, ...] = ()
    """The means of further series over the same points."""


def window(detector: Detector, fired: int) -> int:
    """The first point of what the detector looked at when it judged point ``fired``.

    Of windows their lookback, though never less than a few points; else all since the start.
    """
    if not isinstance(detector, WindowDetector):
        return 0
    return max(0, fired + 1 - max(detector.lookback, LEAST_POINTS))


def rows(
    steps: Ints, values: Floats, begin: int, fired: int, others: tuple[Floats, ...] = ()
) -> list[Row]:
    """Points ``begin`` to ``fired`` in at most 16 rows, and a few points after them."""
    size = -(-(fired + 1 - begin) // MOST_ROWS)
    # Counted from the end: the last row is whole.
    edges = sorted({*range(fired + 1, begin, -size), begin})
    edges += range(fired + 2, min(len(steps), fired + 1 + AFTER) + 1)
    return [
        _row(steps[a:b], values[a:b], b == fired + 1, tuple(other[a:b] for other in others))
        for a, b in pairwise(edges)
    ]


def _row(steps: Ints, values: Floats, fired: bool, others: tuple[Floats, ...]) -> Row:
    known = values[np.isfinite(values)]
    none = np.array([np.nan])
    shown = known if len(known) else none
    # The only point of a row is shown as it is, whatever it is.
    mean = float(values[0]) if len(values) == 1 else _mean(values)
    return Row(
        first_step=int(steps[0]),
        last_step=int(steps[-1]),
        points=len(steps),
        mean=mean,
        low=float(shown.min()),
        high=float(shown.max()),
        not_finite=len(values) - len(known),
        fired=fired,
        others=tuple(map(_mean, others)),
    )


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float((known / len(known)).sum()) if len(known) else float("nan")
