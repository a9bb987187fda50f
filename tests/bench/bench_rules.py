"""What all default rules cost per point, through the engine: live, in reads of a few events.

    python -m tests.bench.bench_rules [--rounds N] [--events N]

One run logs its loss, learning rate and gradient norm at each step and a validation loss at every
hundredth; a point is one number of one series. What decoding takes is not in it. ``no rules`` is
the engine's own work. Medians of processor time over rounds, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np

from monitor.engine import Engine
from monitor.points import Batch, Events, Points, SeriesKey
from monitor.rules import load
from monitor.rules.model import RuleSet
from tests.toys import rule_set

READS = (1, 5, 20, 100, 1000)
TAGS = ("train/loss", "train/lr", "train/grad_norm")


def reads(events: int, size: int, seed: int) -> list[Batch]:
    """The run, ``size`` events a read: all series of an event are written at the same moment."""
    rng = np.random.default_rng(seed)
    steps = np.arange(events)
    loss = 0.3 + 2 * np.exp(-steps / (events / 5)) + 0.05 * rng.normal(size=events)
    norms = np.exp(0.3 * rng.normal(size=events))
    columns = dict(zip(TAGS, (loss, np.full(events, 1e-3), norms), strict=True))
    found = []
    for begin in range(0, events, size):
        at = steps[begin : begin + size]
        series = [_points(tag, at, values[at]) for tag, values in columns.items()]
        rare = at[at % 100 == 99]
        if len(rare):
            series.append(_points("val/loss", rare, loss[rare] + 0.1))
        clock = at.astype(np.float64)
        found.append(Batch("run", "w", tuple(series), Events(at, clock)))
    return found


def _points(tag: str, steps: np.ndarray, values: np.ndarray) -> Points:
    clock = steps.astype(np.float64)
    return Points(SeriesKey("run", tag), "w", steps, clock, clock, values)


def per_point(rules: RuleSet, batches: Sequence[Batch]) -> float:
    """Processor seconds."""
    engine = Engine(rules)
    points = sum(len(column.points().steps) for batch in batches for column in batch.columns)
    begin = time.process_time()
    for batch in batches:
        engine.feed(batch)
    return (time.process_time() - begin) / points


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=4000)
    options = parser.parse_args()
    rules = {"all default rules": load(None), "no rules": rule_set()}
    print(f"{'microseconds per point, reads of':<34}" + "".join(f"{size:>8}" for size in READS))
    found: dict[tuple[str, int], list[float]] = {}
    for seed in range(options.rounds):
        for size in READS:
            batches = reads(options.events, size, seed)
            for name, chosen in rules.items():
                found.setdefault((name, size), []).append(per_point(chosen, batches))
    for name in rules:
        medians = [1e6 * statistics.median(found[name, size]) for size in READS]
        print(f"  {name:<32}" + "".join(f"{value:8.1f}" for value in medians))


if __name__ == "__main__":
    main()
