"""Flush to alert: how long after a writer's flush does /metrics show the alert?

    python -m tests.bench.bench_latency [RUNS]

Starts a real ``monitor watch``, lets RUNS runs (default 20) become NaN one after another and
polls /metrics; prints the median and the worst, and the daemon's CPU while it waited.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.events import NAN, Run, falling
from tests.processes import eventually, watching


def main(runs: int = 20) -> None:
    """Prints the table."""
    delays = []
    with tempfile.TemporaryDirectory() as directory, watching(Path(directory)) as watch:
        for i in range(runs):
            training = Run(Path(directory) / f"run{i}")
            for loss in falling(30):
                training.log(loss=loss)
            training.flush()
            eventually(lambda name=f"run{i}": watch.metric("training_run_step", run=name) == 29)
            time.sleep(0.1)
            training.log(loss=NAN)
            training.flush()
            delays.append(
                eventually(
                    lambda name=f"run{i}": (
                        watch.metric("training_alert_active", run=name, alert="NaNWithinFirstSteps")
                        == 1
                    )
                )
            )
            training.close()
    print(f"flush -> alert on /metrics, {runs} runs, milliseconds (scrapes included)")
    print(f"  median {1000 * statistics.median(delays):.1f}   worst {1000 * max(delays):.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
