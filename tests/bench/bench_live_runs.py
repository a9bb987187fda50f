"""Many live runs at once: what following them costs, and how far behind the monitor is.

    python -m tests.bench.bench_live_runs [--runs N] [--rate R] [--seconds S] [--idle S]

Writer processes append to N runs, R points a second each, a step of five tags at a time. A real
``monitor watch`` with the default rules follows them; nobody asks it anything meanwhile.

Lag, from written to evaluated: five times a second one more run's loss is NaN for one step. Its
writer notes when the bytes were in the file, the daemon's log when the alert fires, which is
after the run has been read and all its rules evaluated. Which run it is has nothing to do with
where the daemon is in its round, so the lags are those of any point; an alert that never comes
is printed as missing. Then the writers end, and the daemon is left alone with runs that no
longer grow.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from tests.bench.loading import Load, loading
from tests.bench.measure import MB, cpu_of, memory, peak_memory, percentile
from tests.processes import Watch, watching

WRITERS = 2
TAGS = 5
NANS_PER_SECOND = 5.0
SETTLE_SECONDS = 5.0
READY_SECONDS = 60.0
REST_SECONDS = 15.0
"""The daemon's hints come back some time after a storm of changes: idle begins after that."""


def fired(watch: Watch) -> dict[str, float]:
    """Run -> when its first alert of a loss that is no number was in the log."""
    first: dict[str, float] = {}
    for line in list(watch.log):
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("alert") in ("NaNWithinFirstSteps", "LossBecameNonFinite"):
            first.setdefault(entry["run"], _seconds(entry["time"]))
    return first


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()  # Python 3.10 has no Z


def lags(loads: Sequence[Load], watch: Watch, begin: float) -> tuple[list[float], int]:
    """Milliseconds from each NaN's writing since ``begin`` to its alert; how many never came."""
    written = {run: at for load in loads for run, at in load.poisoned.items() if at >= begin}
    seen = fired(watch)
    return [1000 * (seen[run] - at) for run, at in written.items() if run in seen], len(
        written.keys() - seen.keys()
    )


class Spent:
    """CPU of some processes since the last look, in percent of one core."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._before, self._begin = self._cpu(), time.monotonic()

    def _cpu(self) -> float:
        return sum(map(cpu_of, self._pids))

    def percent(self) -> float:
        return 100 * (self._cpu() - self._before) / (time.monotonic() - self._begin)


def show_ready(watch: Watch, began: float) -> None:
    """Waits until it has caught up with runs that do not wait for it; not for ever."""
    while watch.get("/-/ready")[0] != 200:
        if time.monotonic() - began > READY_SECONDS:
            print(f"not ready after {READY_SECONDS:g} s: it does not catch up with its runs")
            return
        time.sleep(0.1)
    print(f"ready {time.monotonic() - began:.1f} s after its start")


def show_live(loads: Sequence[Load], watch: Watch, runs: int, seconds: float) -> None:
    """Lets them run for a while."""
    begin, pid = time.time(), watch.process.pid
    daemon, writers = Spent(pid), Spent(*(load.process.pid for load in loads))
    time.sleep(seconds)
    ours, theirs = daemon.percent(), writers.percent()
    used, peak = memory(pid) / MB, peak_memory(pid) / MB
    for load in loads:
        load.stop()
    time.sleep(REST_SECONDS)
    points = sum(load.points for load in loads)
    rate = sum(load.points / load.seconds for load in loads)
    found, missing = lags(loads, watch, begin)
    print(f"{runs} live runs, {rate:.0f} points/s in all, {seconds:g} s")
    print(f"  daemon   {ours / 100:.2f} cores   {used:.0f} MB, {peak:.0f} at most")
    print(f"  writers  {theirs / 100:.2f} cores")
    if found:
        p50, p99 = (percentile(found, p) for p in (50, 99))
        print(
            f"  lag, written -> evaluated   p50 {p50:.0f} ms   p99 {p99:.0f} ms   "
            f"worst {max(found):.0f} ms   ({len(found)} samples, {missing} missing)"
        )
    else:
        print(f"  lag: no alert came within {REST_SECONDS:g} s; {missing} missing")
    begun = time.monotonic()
    records, asked = watch.metric("training_monitor_records_total"), time.monotonic() - begun
    print(
        f"  {points:,} points written, {records or 0:,.0f} read; one scrape {1000 * asked:.0f} ms"
    )


def show_idle(watch: Watch, runs: int, seconds: float) -> None:
    """Lets the daemon alone."""
    daemon = Spent(watch.process.pid)
    time.sleep(seconds)
    used = memory(watch.process.pid) / MB
    print(
        f"{runs} idle runs, {seconds:g} s\n  daemon   {daemon.percent():.2f} % CPU   {used:.0f} MB"
    )


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10.0, help="points a second of each run")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--idle", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        share = options.runs // WRITERS
        load = ["--runs", share, "--rate", share * options.rate, "--tags", TAGS]
        load += ["--nan", WRITERS / NANS_PER_SECOND]
        loads = [
            stack.enter_context(loading(Path(name), *load, "--first", i * share))
            for i in range(WRITERS)
        ]
        began = time.monotonic()
        json_log = ("--log-format", "json")
        watch = stack.enter_context(watching(Path(name), *json_log, ready=False))
        show_ready(watch, began)
        time.sleep(SETTLE_SECONDS)
        show_live(loads, watch, share * WRITERS, options.seconds)
        show_idle(watch, share * WRITERS, options.idle)


if __name__ == "__main__":
    main()
