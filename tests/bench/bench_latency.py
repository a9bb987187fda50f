"""Flush to alert: how long after a writer's flush does /metrics show the alert?

    python -m tests.bench.bench_latency [--trials N] [--rate R]... [--seconds S]

Starts a real ``monitor watch`` with the default rules beside a process that writes R events a
second, by opening the file for each event as torch's SummaryWriter does or through a buffer.
First the daemon's CPU is taken for S seconds in which nobody asks it anything; then runs become
NaN one after another and /metrics is polled. A delay includes the scrape that shows the alert,
whose own cost stands beside it.
"""

from __future__ import annotations

import argparse
import http.client
import random
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.loading import loading
from tests.bench.measure import MB, cpu_of, memory, percentile
from tests.events import NAN, Run, falling
from tests.processes import Watch, eventually, watching

SETTLE_SECONDS = 30.0
"""Curves are judged most often at a run's first points; one that logs so much logs for hours."""
TOGETHER = 10
HEADS = ["events/s", "style", "p50 ms", "p99 ms", "worst", "scrape ms", "CPU %", "MB"]


class Prometheus:
    """Scrapes as Prometheus does, over a connection that stays open."""

    def __init__(self, watch: Watch) -> None:
        self._connection = http.client.HTTPConnection(watch.address.removeprefix("http://"))

    def scrape(self) -> str:
        self._connection.request("GET", "/metrics")
        return self._connection.getresponse().read().decode()


def batch(watch: Watch, directory: Path, names: list[str]) -> list[float]:
    """Seconds from each run's flush to its alert.

    Several runs are made at once, since a new one is found within seconds only, and taken away
    afterwards, since many would make the scrapes long.
    """
    runs = {name: Run(directory / name) for name in names}
    for training in runs.values():
        for loss in falling(30):
            training.log(loss=loss)
        training.flush()
    eventually(lambda: all(watch.metric("training_run_step", run=name) == 29 for name in names))
    scraper = Prometheus(watch)
    delays = [one(scraper, training, name) for name, training in runs.items()]
    for name in names:
        shutil.rmtree(directory / name)
    return delays


def one(scraper: Prometheus, training: Run, name: str) -> float:
    """Seconds from one run's flush to its alert."""
    # Let the daemon come to rest, as it is when a live run flushes, at any time between two passes.
    time.sleep(random.uniform(0.1, 0.2))
    training.log(loss=NAN)
    training.flush()
    labels = f'alert="NaNWithinFirstSteps",run="{name}",severity="critical"'
    line = f"training_alert_active{{{labels}}} 1.0\n"
    delay = eventually(lambda: line in scraper.scrape())
    training.close()
    return delay


def cpu_share(watch: Watch, seconds: float) -> float:
    """Percent of a core that the daemon takes while nobody asks it anything."""
    pid = watch.process.pid
    before, begin = cpu_of(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_of(pid) - before) / (time.monotonic() - begin)


def seconds_of(scraper: Prometheus) -> float:
    """How long a scrape takes."""
    begin = time.monotonic()
    scraper.scrape()
    return time.monotonic() - begin


def under(rate: float, style: str, trials: int, seconds: float) -> list[str]:
    """The row of one load."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        if rate:
            stack.enter_context(loading(directory, "--rate", rate, "--style", style))
        watch = stack.enter_context(watching(directory))
        time.sleep(SETTLE_SECONDS)
        share = cpu_share(watch, seconds)
        names = [f"trial{i}" for i in range(trials)]
        batches = [names[i : i + TOGETHER] for i in range(0, trials, TOGETHER)]
        delays = [1000 * s for some in batches for s in batch(watch, directory, some)]
        scraper = Prometheus(watch)
        scrapes = [1000 * seconds_of(scraper) for _ in range(9)]
        numbers = [*(percentile(delays, p) for p in (50, 99)), max(delays)]
        numbers += [statistics.median(scrapes)]
        used = memory(watch.process.pid) / MB
        return [f"{rate:g}", style, *(f"{n:.1f}" for n in numbers), f"{share:.2f}", f"{used:.0f}"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rate", type=float, action="append", help="default: 200 and 4,000")
    parser.add_argument("--seconds", type=float, default=15.0, help="for the CPU's share")
    options = parser.parse_args()
    rates = options.rate or [200.0, 4000.0]
    loads = [(0.0, "idle"), *((rate, style) for rate in rates for style in ("each", "buffered"))]
    print(
        f"flush -> alert on /metrics, {options.trials} runs each, default rules, one core = 100 %"
    )
    print(("{:>11}" * len(HEADS)).format(*HEADS))
    for rate, style in loads:
        row = under(rate, style, options.trials, options.seconds)
        print(("{:>11}" * len(HEADS)).format(*row), flush=True)


if __name__ == "__main__":
    main()
