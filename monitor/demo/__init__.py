"""``monitor demo``: five trainings, one monitor beside them, and what it said of each.

The demo knows the monitor as its users do: by its command line and its HTTP API. Trainers and
monitor are processes of their own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

EXPECTED: Mapping[str, frozenset[str]] = {
    "article_bad_init": frozenset({"NaNWithinFirstSteps", "ActivationsNonFinite"}),  # and where
    "lr_too_high": frozenset({"UpdatesTooLarge", "LossOscillating"}),  # its beginning, its course
    "deep_sigmoid": frozenset({"VanishingGradients"}),
    "plateau": frozenset({"LossPlateau"}),
    "healthy": frozenset(),
}
"""Run -> the alerts that it must raise, and no others."""
AT_A_TIME = 2
START_SECONDS = 30.0
LIMIT_SECONDS = 300.0
WIDTH = 110
"""Columns where there is no terminal that would tell."""
SETTLE_SECONDS = 2.0
"""How long after the last training the monitor may still find something."""
NEEDED = {"torch": "torch", "tensorboard": "tensorboard", "sklearn": "scikit-learn"}

Alert = dict[str, Any]


def run(keep: bool) -> int:
    """Trains, watches and judges; the exit status: 0 all right, 1 not, 2 something is missing."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    missing = [name for module, name in NEEDED.items() if not importlib.util.find_spec(module)]
    if missing:
        console.print(f"The demo trains real networks and needs {', '.join(missing)}:")
        console.print("    pip install 'training-health-monitor[demo]'", markup=False)
        return 2
    with tempfile.TemporaryDirectory(prefix="monitor-demo-") as directory:
        logdir = Path(directory) / "runs"
        logdir.mkdir()
        with _monitor(logdir) as address:
            console.print(f"monitor watch {logdir}  ->  {address}/metrics\n", soft_wrap=True)
            alerts = _follow(console, logdir, address)
            console.print()
            console.print(table(alerts))
            problems = judge(alerts)
            for problem in problems:
                console.print(Text(problem, style="bold red"))
            if not problems:
                right = "All five verdicts are right: four sick runs found, the healthy one quiet."
                console.print(Text(right, style="bold green"))
            if keep:
                _wait(console, address)
    return 1 if problems else 0


def judge(alerts: Sequence[Alert]) -> list[str]:
    """What is wrong with the alerts, one sentence each."""
    problems = []
    for name, expected in EXPECTED.items():
        raised = {str(alert["alert"]) for alert in alerts if alert["run"] == name}
        if expected - raised:
            problems.append(f"{name}: {', '.join(sorted(expected - raised))} is missing")
        if raised - expected:
            problems.append(f"{name}: unexpected {', '.join(sorted(raised - expected))}")
    return problems


def table(alerts: Sequence[Alert]) -> Table:
    """Run, alert, detector, step of onset, step of alert, advice."""
    result = Table(show_lines=True)
    for heading in ("run", "alert\ndetector"):
        result.add_column(heading, no_wrap=True)
    for heading in ("onset\nat step", "alert\nat step"):
        result.add_column(heading, justify="right")
    result.add_column("what it means and what to try", ratio=1)
    for name in EXPECTED:
        found = [alert for alert in alerts if alert["run"] == name]
        if not found:
            result.add_row(name, Text("none", style="green"), "", "", "")
        for alert in found:
            what = Text(str(alert["alert"]), style="yellow")
            what.append(f"\n{alert['detector']}", style="dim")
            steps = str(alert["onset_step"]), str(alert["fired_step"])
            result.add_row(name, what, *steps, Text(str(alert["advice"])))
    return result


@dataclass(frozen=True)
class _Trainer:
    process: subprocess.Popen[bytes]
    started: float


def _follow(console: Console, logdir: Path, address: str) -> list[Alert]:
    """Trains all runs, some at a time, and tells of every alert as it comes."""
    waiting = list(EXPECTED)
    running: dict[str, _Trainer] = {}
    began: dict[str, float] = {}
    told: set[tuple[str, str, int]] = set()
    deadline = time.monotonic() + LIMIT_SECONDS
    with contextlib.ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < AT_A_TIME:
                name = waiting.pop(0)
                running[name] = _start(stack, name, logdir)
                began[name] = running[name].started
                console.print(Text(f"{name}: training starts", style="dim"))
            for name in [name for name, t in running.items() if t.process.poll() is not None]:
                trainer = running.pop(name)
                _say_end(console, name, trainer)
            _tell(console, _alerts(address), told, began)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the trainings took longer than {LIMIT_SECONDS:.0f} s")
            time.sleep(0.1)
    settled = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < settled:
        _tell(console, _alerts(address), told, began)
        time.sleep(0.1)
    return _alerts(address)


def _start(stack: contextlib.ExitStack, name: str, logdir: Path) -> _Trainer:
    command = [sys.executable, "-m", "monitor.demo.trainers", name, str(logdir / name)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words
    stack.callback(process.kill)
    return _Trainer(process, time.monotonic())


def _say_end(console: Console, name: str, trainer: _Trainer) -> None:
    seconds = time.monotonic() - trainer.started
    status = trainer.process.returncode
    text = f"{name}: training ended after {seconds:.0f} s"
    console.print(Text(text if status == 0 else f"{text} with status {status}", style="dim"))


def _tell(
    console: Console,
    alerts: Sequence[Alert],
    told: set[tuple[str, str, int]],
    began: Mapping[str, float],
) -> None:
    for alert in alerts:
        key = (alert["run"], alert["alert"], alert["fired_step"])
        if key not in told:
            told.add(key)
            seconds = time.monotonic() - began.get(alert["run"], time.monotonic())
            line = Text(f"{alert['severity']:<8} {alert['alert']}", style="yellow")
            line.append(f"  after {seconds:.1f} s  ", style="dim")
            line.append(str(alert["summary"]), style="default")
            console.print(line)


# --- the monitor beside them --------------------------------------------------------------


@contextlib.contextmanager
def _monitor(logdir: Path) -> Iterator[str]:
    """A ``monitor watch`` on a free port; gives its address."""
    command = [sys.executable, "-m", "monitor", "watch", str(logdir), "--listen", "127.0.0.1:0"]
    log = logdir.parent / "monitor.log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, "--log-format", "json"], stderr=file)  # noqa: S603
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, once it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        ready = any(line["event"] == "ready" for line in lines)
        address = next((line["address"] for line in lines if "address" in line), None)
        if ready and address is not None:
            return str(address)
        time.sleep(0.05)
    raise RuntimeError(f"the monitor did not start:\n{log.read_text()}")


def _alerts(address: str) -> list[Alert]:
    with urllib.request.urlopen(f"{address}/api/v1/alerts", timeout=10) as answer:  # noqa: S310
        found = json.load(answer)
    return list(found)


def _wait(console: Console, address: str) -> None:
    console.print(f"\nStill serving {address}/metrics; Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
