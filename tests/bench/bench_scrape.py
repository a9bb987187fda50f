"""What a scrape costs, beside prometheus-client's encoder on the same samples.

    python -m tests.bench.bench_scrape [--runs N] [--layers N] [--rounds N] [--trials N]

CPU milliseconds for the body of ``/metrics``: when it is asked for the first time, when no run
has changed since, and when all have. Then the same for one run with N layers.

Then whether a scrape keeps reading waiting: a real daemon has read the hook's stream of a network
of N layers, and the time from another run's flush to its alert is taken while nobody asks for
``/metrics``, and while somebody does SCRAPES times a second, thirty times as often as Prometheus.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

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
from tests.bench.measure import cpu_of
from tests.events import NAN, Run, falling
from tests.processes import Watch, eventually, watching
from tests.toys import batch, scalar_points

SCRAPES = 2
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


def train(directory: Path, layers: int) -> None:
    """The hook's stream of a network with so many layers, which does not do much."""
    import torch

    import monitor

    torch.set_num_threads(1)
    parts = [part for _ in range(layers // 2) for part in (torch.nn.Linear(1, 1), torch.nn.ReLU())]
    model = torch.nn.Sequential(*parts, torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with monitor.watch(model, optimizer, logdir=directory, every=1):
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(1, 1)).sum().backward()
            optimizer.step()


@contextmanager
def scraping(watch: Watch) -> Iterator[list[int]]:
    """Asks for the metrics; the lengths of the answers."""
    over = threading.Event()
    sizes: list[int] = []

    def ask() -> None:
        while not over.wait(1 / SCRAPES):
            sizes.append(len(watch.get("/metrics")[1]))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def delays(watch: Watch, directory: Path, name: str, trials: int) -> list[float]:
    """Milliseconds from the flush of each run to its alert."""
    runs = {f"{name}{i}": Run(directory / f"{name}{i}") for i in range(trials)}
    for run in runs.values():
        for loss in falling(30):
            run.log(train__loss=loss)
        run.flush()
    eventually(lambda: sum(run in watch.get(f"/api/v1/run?run={run}")[1] for run in runs) == trials)
    found = []
    for name_, run in runs.items():
        time.sleep(0.1)  # let the daemon come to rest
        run.log(train__loss=NAN)
        run.flush()
        spent = eventually(lambda: any(a["run"] == name_ for a in watch.alerts()))  # noqa: B023
        found.append(1000 * spent)
        run.close()
    return found


def live(layers: int, trials: int) -> None:
    """Flush to alert without scrapes, and with them; and the daemon's CPU for one."""
    with tempfile.TemporaryDirectory() as name:
        logs = Path(name)
        train(logs / "wide", layers)
        os.environ["MONITOR_LAYER_METRICS"] = "grad_norm"
        with watching(logs) as watch:
            quiet = delays(watch, logs, "quiet", trials)
            with scraping(watch) as sizes:
                busy = delays(watch, logs, "busy", trials)
            before = cpu_of(watch.process.pid)
            for _ in range(10):
                watch.get("/metrics")
            spent = 100 * (cpu_of(watch.process.pid) - before)
    said = f"{'flush to alert, ms: median, worst':38s}"
    for title, found in (("no scrapes", quiet), (f"{len(sizes)} scrapes", busy)):
        said += f"{title}: {statistics.median(found):.0f}, {max(found):.0f}   "
    print(said)
    print(f"a scrape of {max(sizes) / 1e6:.2f} MB takes {spent:.0f} ms of the daemon's CPU")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trials", type=int, default=20, help="alerts that are waited for")
    given = parser.parse_args()
    heads = "first", "unchanged", "changed", "library", "ratio"
    print(f"{'CPU ms, medians':33s}{heads[0]:>10s}{heads[1]:>11s}" + "".join(
        f"{head:>10s}" for head in heads[2:4]
    ) + f"{heads[4]:>9s}")  # fmt: skip
    measure(f"{given.runs:,d} runs", many_runs(given.runs), given.rounds)
    measure(f"{given.layers:,d} layers", many_layers(given.layers), given.rounds)
    live(given.layers, given.trials)


if __name__ == "__main__":
    main()
