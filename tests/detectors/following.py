"""Shows a series to a detector the way the engine does: chunk after chunk, or all at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.base import CurveDetector, FoldDetector, WindowDetector
from monitor.points import Evidence, Floats, Health, Ints, Layers, Points, SeriesKey, Window
from monitor.series import CurveBuilder, Ring, Stretch


@dataclass(frozen=True)
class Verdict:
    """A verdict and where it was given: the position of the point."""

    at: int
    health: Health
    evidence: Evidence | None = None


def points_of(
    values: Floats,
    steps: Ints | None = None,
    layers: Layers | None = None,
    tag: str = "loss",
    clock: Floats | None = None,
) -> Points:
    n = len(values)
    steps = np.arange(n, dtype=np.int64) if steps is None else steps
    clock = np.arange(n, dtype=np.float64) if clock is None else clock
    return Points(SeriesKey("run", tag), "w", steps, clock, clock, values, layers)


def window_of(values: Floats) -> Window:
    """All of a series, each point of it new."""
    ring, stretch = Ring(1), Stretch(points_of(values), {})
    return ring.window(ring.append(stretch), len(values), 1)


def follow(
    detector: WindowDetector | FoldDetector | CurveDetector,
    values: Floats,
    steps: Ints | None = None,
    context: Mapping[str, Floats] | None = None,
    layers: Layers | None = None,
    cuts: Sequence[int] = (),
    clock: Floats | None = None,
    tag: str = "loss",
) -> list[Verdict]:
    """All verdicts on the series, bad ones with their evidence; ``cuts``: where reads end."""
    points = points_of(values, steps, layers, tag, clock)
    known = {
        role: (context or {}).get(role, np.full(len(values), np.nan)) for role in detector.context
    }
    stretch = Stretch(points, known)
    edges = [0, *sorted({c for c in cuts if 0 < c < len(values)}), len(values)]
    parts = [(a, stretch.cut(a, b)) for a, b in itertools.pairwise(edges) if b > a]
    if not parts:
        return []
    if isinstance(detector, WindowDetector):
        return _windows(detector, parts)
    if isinstance(detector, FoldDetector):
        return _folds(detector, parts)
    first = int(points.steps[0])
    builder = CurveBuilder(points.key, first)
    found = []
    for a, part in parts:
        for i, curve in builder.append(part):
            verdict = detector.judge(curve)
            found.append(Verdict(a + i, verdict.health, verdict.evidence))
    return found


def _windows(detector: WindowDetector, parts: list[tuple[int, Stretch]]) -> list[Verdict]:
    ring = Ring(detector.lookback)
    found = []
    for a, part in parts:
        joined = ring.append(part)
        window = ring.window(joined, len(part), detector.lookback)
        before = len(window.steps) - window.new
        for i, health in enumerate(detector(window).health):
            bad = health == Health.BAD
            seen = detector.explain(window.upto(before + i, detector.lookback)) if bad else None
            found.append(Verdict(a + i, Health(int(health)), seen))
    return found


def _folds(detector: FoldDetector, parts: list[tuple[int, Stretch]]) -> list[Verdict]:
    ring, memory, found = Ring(1), detector.begin(), list[Verdict]()
    for a, part in parts:
        window = ring.window(ring.append(part), len(part), 1)
        folded = detector.fold(memory, window)
        assert [m.shape for m in folded.memory] == [m.shape for m in memory]
        memory = folded.memory
        for i, health in enumerate(folded.health):
            bad = health == Health.BAD
            seen = detector.explain(window.upto(i, 1), folded.seen[:, i]) if bad else None
            found.append(Verdict(a + i, Health(int(health)), seen))
    return found


def healths(verdicts: Sequence[Verdict]) -> NDArray[np.int8]:
    return np.array([v.health for v in verdicts], dtype=np.int8)


def first_bad(verdicts: Sequence[Verdict]) -> Verdict | None:
    return next((v for v in verdicts if v.health is Health.BAD), None)
