"""The status page: how soon it is there, and what open pages cost the daemon.

    python -m tests.bench.bench_page [--runs N] [--points N] [--trials N] [--pages N]

1. A real Chromium opens the list of N runs: milliseconds to the first paint and to all its rows.
2. It opens a run of a million points: to the drawn curve, when nobody has looked before (the event
   file is read from its beginning), and again.
3. Flush to alert, with no page open and with N: a run becomes NaN, beside a run that logs a hundred
   times a second, which half of the pages show. Told by /metrics and by the page's own events. And
   the CPU of the daemon and of the process that reads for pages.

Medians, and the worst where it matters.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from monitor.formats.tfrecord import encode
from tests.bench.measure import cpu_of, percentile
from tests.events import NAN, Run, falling, proto, summary, write_run
from tests.page.browser import api, chromium, visiting
from tests.processes import Watch, eventually, watching

LOGS_PER_SECOND = 100
WARM_SECONDS = 3.0
MEASURED_SECONDS = 10.0


def milliseconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):8.0f} {max(values):8.0f}"


# --- how soon it is there -----------------------------------------------------------------


def painted(page: api.Page) -> float:
    """Milliseconds from the navigation to the first paint of content."""
    script = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    found: float = page.evaluate(script)
    return found


def shown(page: api.Page, condition: str) -> float:
    """Milliseconds from the navigation until ``condition`` holds, looked at in every frame."""
    page.wait_for_function(f"() => ({condition}) && (window.there ??= performance.now())")
    found: float = page.evaluate("window.there")
    return found


def list_of(browser: api.Browser, address: str, trials: int) -> tuple[list[float], list[float]]:
    first, whole = [], []
    for _ in range(trials):
        with visiting(browser, address) as visit:
            rows = "document.querySelectorAll('table.runs tbody tr').length >= 50"
            whole.append(shown(visit.page, rows))
            first.append(painted(visit.page))
    return first, whole


DRAWN = """(() => {
  const canvas = document.querySelector("#loss-chart canvas");
  const said = document.querySelector("#loss-chart")?.ariaLabel ?? "";
  return canvas !== null && canvas.width > 100 && said.includes("points");
})()"""


def curve_of(browser: api.Browser, logs: Path, trials: int) -> tuple[list[float], list[float]]:
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(trials):
        with watching(logs) as watch:
            for into in (cold, warm):
                with visiting(browser, watch.address, "/?run=long") as visit:
                    into.append(shown(visit.page, DRAWN))
    return cold, warm


def write_long(directory: Path, points: int) -> None:
    """A run with one tag, as TensorBoard's writer has it, with a spike one point wide."""
    directory.mkdir(parents=True)
    with (directory / "events.out.tfevents.1.host").open("wb") as file:
        for step in range(points):
            value = 9.0 if step == 2 * points // 3 else 1.0 + 0.1 * (step * 7919 % 13) / 13
            values = [summary.Summary.Value(tag="loss", simple_value=value)]
            event = proto.Event(
                wall_time=1.7e9 + step / 100, step=step, summary=summary.Summary(value=values)
            )
            file.write(encode(event.SerializeToString()))


# --- what open pages cost -----------------------------------------------------------------


@contextmanager
def busy(directory: Path) -> Iterator[None]:
    """A run that logs a hundred times a second."""
    training, over = Run(directory), threading.Event()

    def write() -> None:
        due = time.monotonic()
        while not over.is_set():
            training.log(loss=1.0 + 0.1 * (training.step % 7))
            training.flush()
            due += 1 / LOGS_PER_SECOND
            over.wait(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        training.close()


@contextmanager
def opened(watch: Watch, pages: int) -> Iterator[None]:
    """So many pages, in a process of their own."""
    command = [sys.executable, "-m", "tests.bench.page_clients", watch.address, str(pages), "busy"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as clients:
        assert clients.stdin is not None
        assert clients.stdout is not None
        assert clients.stdout.readline() == "open\n"
        try:
            yield
        finally:
            clients.stdin.close()


class Listener:
    """Notes when the news of each run's alert arrives."""

    def __init__(self, address: str) -> None:
        self.at: dict[str, float] = {}
        self._answer = urllib.request.urlopen(f"{address}/api/v1/events", timeout=600)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._answer:
            if line.startswith(b"data: {"):
                for news in json.loads(line[6:]).get("news", []):
                    self.at.setdefault(news["run"], time.monotonic())


def readers(pid: int) -> list[int]:
    """The processes that a daemon has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    threads = Path(f"/proc/{pid}/task").iterdir()
    found = [int(n) for t in threads for n in (t / "children").read_text().split()]
    return found or [int(n) for n in children.split()]


def latencies(logs: Path, pages: int, trials: int) -> tuple[list[float], list[float], str]:
    """Milliseconds to /metrics and to the event, and CPU, with so many pages open."""
    scraped, told = [], []
    with watching(logs) as watch, busy(logs / "busy"):
        eventually(lambda: watch.metric("training_run_step", run="busy") is not None)
        trainings = {f"trial{i}": Run(logs / f"trial{i}") for i in range(trials)}
        for training in trainings.values():
            for loss in falling(30):
                training.log(loss=loss)
            training.flush()
        eventually(
            lambda: all(watch.metric("training_run_step", run=name) == 29 for name in trainings)
        )
        with opened(watch, pages) if pages else nullcontext():
            listener = Listener(watch.address)
            time.sleep(WARM_SECONDS)
            pid = watch.process.pid
            there = [pid, *readers(pid)]
            before = [cpu_of(each) for each in there]
            time.sleep(MEASURED_SECONDS)
            used = [
                100 * (cpu_of(each) - b) / MEASURED_SECONDS
                for each, b in zip(there, before, strict=True)
            ]
            for name, training in trainings.items():
                time.sleep(0.1)
                training.log(loss=NAN)
                training.flush()
                begin = time.monotonic()
                alert = {"run": name, "alert": "NaNWithinFirstSteps"}
                labels = alert
                scraped.append(
                    1000 * eventually(lambda: watch.metric("training_alert_active", **labels) == 1)  # noqa: B023
                )
                eventually(lambda: name in listener.at)  # noqa: B023
                told.append(1000 * (listener.at[name] - begin))
                training.close()
    return scraped, told, " + ".join(f"{share:.1f}" for share in used)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--pages", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for i in range(given.runs):
            write_run(directory / "many" / f"sweep/run{i:04}", {"train/loss": falling(50)})
        write_long(directory / "long" / "long", given.points)
        print(f"{'milliseconds':<52}   median    worst")
        with chromium() as browser:
            with watching(directory / "many") as watch:
                first, whole = list_of(browser, watch.address, given.trials)
            cold, warm = curve_of(browser, directory / "long", given.trials)
        print(f"{given.runs:,} runs: first paint{'':<27}", milliseconds(first))
        print(f"{given.runs:,} runs: all rows of the first page{'':<13}", milliseconds(whole))
        print(f"{given.points:,} points: drawn, never looked at before  ", milliseconds(cold))
        print(f"{given.points:,} points: drawn, looked at before        ", milliseconds(warm))
        print(
            "\nflush to alert, ms  /metrics: p50, worst; event: p50, worst; CPU %: daemon + reader"
        )
        for pages in (0, given.pages):
            logs = directory / f"pages{pages}"
            logs.mkdir()
            scraped, told, cpu = latencies(logs, pages, 3 * given.trials)
            numbers = [n for v in (scraped, told) for n in (percentile(v, 50), max(v))]
            print(f"{pages:>3} open pages     ", *(f"{n:11.1f}" for n in numbers), f"   {cpu}")


if __name__ == "__main__":
    main()
