"""What rules of one's own cost per point, through the engine: in bulk, and live one by one.

    python -m tests.bench.bench_expression

The live number has the engine's own work in it; that of ``threshold`` is hardly anything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from monitor.detectors.base import Detector
from monitor.detectors.expression import Expression
from monitor.detectors.expression.columns import WINDOWED
from monitor.detectors.robust import median
from monitor.detectors.threshold import Threshold
from monitor.engine import Engine
from monitor.points import Batch
from tests.toys import batch, rule, rule_set, scalar_points

DETECTORS: dict[str, Detector] = {
    "threshold": Threshold(above=1e9),
    **{
        text: Expression(text)
        for text in (
            "value > 2 * min(value)",
            "median(value, 50) > 1.5 * min(median(value, 50))",
            "count(value > 5, 200) > 10",
            "median(value, 1000) > 2 * min(value)",
        )
    },
}
POINTS, LIVE, ROUNDS = 20_000, 1_000, 5


def seconds(detector: Detector, reads: list[Batch]) -> float:
    """To feed them all to a fresh engine."""
    engine = Engine(rule_set(rule("A", detector)))
    begin = time.perf_counter()
    for read in reads:
        engine.feed(read)
    return time.perf_counter() - begin


def main() -> None:
    """Prints the tables; the detectors take turns, and the best round counts."""
    values = np.random.default_rng(0).normal(size=POINTS)
    whole = [batch(scalar_points(values, tag="loss"))]
    single = [batch(scalar_points(values[i : i + 1], tag="loss", steps=[i])) for i in range(LIVE)]
    best: dict[str, tuple[float, float]] = dict.fromkeys(DETECTORS, (np.inf, np.inf))
    for _ in range(ROUNDS):
        for name, detector in DETECTORS.items():
            bulk = seconds(detector, whole) / POINTS
            live = seconds(detector, single) / LIVE
            best[name] = min(best[name][0], bulk), min(best[name][1], live)
    print(f"{'microseconds per point':<52}{'bulk':>8}{'live':>8}")
    for name, (bulk, live) in best.items():
        print(f"  {name:<50}{1e6 * bulk:8.2f}{1e6 * live:8.0f}")
    row = values[None, :50].copy()
    for name, function in (("sorted", median), ("parted", WINDOWED["median"])):
        took = min(_timed(partial(function, row)) for _ in range(ROUNDS))
        print(f"median of one window of 50, {name}: {1e6 * took:.1f}")


def _timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(1000):
        call()
    return (time.perf_counter() - begin) / 1000


if __name__ == "__main__":
    main()
