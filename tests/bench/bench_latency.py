"""Flush to alert: how long after a writer's flush does /metrics show the alert?

    python -m tests.bench.bench_latency [RUNS]

Starts a real ``monitor watch``, lets RUNS runs (default 20) become NaN one after another and
polls /metrics; prints the median and the worst.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.events import NAN, Run, falling
from tests.processes import Watch, eventually, watching


def one(watch: Watch, directory: Path, name: str) -> float:
    """Seconds from one run's flush to its alert."""
    training = Run(directory / name)
    for loss in falling(30):
        training.log(loss=loss)
    training.flush()
    eventually(lambda: watch.metric("training_run_step", run=name) == 29)
    time.sleep(0.1)  # let the daemon come to rest, as it is when a live run flushes
    training.log(loss=NAN)
    training.flush()
    alert = {"run": name, "alert": "NaNWithinFirstSteps"}
    delay = eventually(lambda: watch.metric("training_alert_active", **alert) == 1)
    training.close()
    return delay


def main(runs: int = 20) -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as directory, watching(Path(directory)) as watch:
        delays = [one(watch, Path(directory), f"run{i}") for i in range(runs)]
    print(f"flush -> alert on /metrics, {runs} runs, milliseconds (scrapes included)")
    print(f"  median {1000 * statistics.median(delays):.1f}   worst {1000 * max(delays):.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
