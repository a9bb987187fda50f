"""What a scrape costs, beside prometheus-client's encoder on the same samples.

    python -m tests.bench.bench_scrape [--runs N] [--layers N] [--rounds N]

CPU milliseconds for the body of ``/metrics``: when it is asked for the first time, when no run
has changed since, and when all have. Then the same for one run with N layers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from monitor.engine import Engine
from monitor.points import Layers
from monitor.rules import load
from monitor.sinks.prometheus import Exposition
from monitor.views import RunView
from tests.toys import batch, scalar_points

TAGS = ("train/loss", "train/lr", "train/accuracy", "train/grad_norm", "eval/loss")


class Library(Collector):
    """The samples of a body, for the encoder of prometheus-client."""

    def __init__(self, body: bytes) -> None:
        self._families = list(text_string_to_metric_families(body.decode()))

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def many_runs(count: int) -> list[RunView]:
    engine = Engine(load(None))
    for i in range(count):
        for tag in TAGS:
            engine.feed(batch(scalar_points([2.0, 1.0], run=f"sweep/run-{i:04d}", tag=tag)))
    return [engine.view(run) for run in engine.runs]


def many_layers(count: int) -> list[RunView]:
    names = tuple(f"transformer.h.{i // 12}.mlp.{i}.weight" for i in range(count))
    values = np.random.default_rng(0).random(count)
    table = Layers(names, ("Linear",) * count), values
    return [replace(many_runs(1)[0], layers={"grad_norm": table})]


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of CPU."""
    begin = time.process_time()
    work()
    return 1e3 * (time.process_time() - begin)


def measure(title: str, views: Sequence[RunView], rounds: int) -> None:
    """One row."""
    shown = list(views)
    rules = load(None).rules
    stats = frozenset({"grad_norm"})

    def fresh() -> Exposition:
        return Exposition(CollectorRegistry(), lambda: shown, lambda: rules, stats)

    exposition = fresh()
    body, _ = exposition.answer("")
    registry = CollectorRegistry()
    registry.register(Library(body))
    times: dict[str, list[float]] = {"first": [], "unchanged": [], "changed": [], "library": []}
    for _ in range(rounds):
        times["first"].append(cpu(lambda: fresh().answer("")))
        times["unchanged"].append(cpu(lambda: exposition.answer("")))
        shown = [replace(view) for view in views]
        times["changed"].append(cpu(lambda: exposition.answer("")))
        times["library"].append(cpu(lambda: generate_latest(registry)))
    medians = {name: statistics.median(found) for name, found in times.items()}
    samples = sum(not line.startswith(b"#") for line in body.splitlines())
    print(
        f"{title:16s}{samples:9,d} samples{medians['first']:10.1f}{medians['unchanged']:11.1f}"
        f"{medians['changed']:10.1f}{medians['library']:10.1f}"
        f"{medians['library'] / medians['changed']:8.1f}x"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    heads = "first", "unchanged", "changed", "library", "ratio"
    print(f"{'CPU ms, medians':33s}{heads[0]:>10s}{heads[1]:>11s}" + "".join(
        f"{head:>10s}" for head in heads[2:4]
    ) + f"{heads[4]:>9s}")  # fmt: skip
    measure(f"{given.runs:,d} runs", many_runs(given.runs), given.rounds)
    measure(f"{given.layers:,d} layers", many_layers(given.layers), given.rounds)


if __name__ == "__main__":
    main()
