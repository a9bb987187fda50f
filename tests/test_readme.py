"""The README's two commands for people who want to be told, as they stand there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.tools import free_port
from tests.events import NAN, Run, falling
from tests.processes import eventually
from tests.receiver import receiving

README = Path(__file__).parents[1] / "README.md"


def command(wanted: str) -> str:
    """The one line of the README's that holds ``wanted`` and is to be typed."""
    lines = README.read_text().splitlines()
    (found,) = [line.strip() for line in lines if line.startswith("    ") and wanted in line]
    return found


@contextmanager
def typed(line: str, place: Path, changes: Mapping[str, str]) -> Iterator[None]:
    """``line`` in a shell in ``place``, with what cannot be there replaced."""
    for old, new in changes.items():
        assert old in line
        line = line.replace(old, new)
    environment = {**os.environ, "HOME": str(place), "PYTHONPATH": str(README.parent)}
    program = f'monitor() {{ exec "{sys.executable}" -m monitor "$@"; }}'
    with subprocess.Popen(
        ["bash", "-c", f"{program}\n{line}"],
        cwd=place,
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def sick(place: Path) -> None:
    training = Run(place / "runs" / "sick")
    for loss in [*falling(40), NAN]:
        training.log(loss=loss)
    training.close()


def test_a_slack_webhook_is_all_that_is_needed(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    line = command("MONITOR_SLACK_WEBHOOK_URL=https:")
    (address,) = re.findall(r"https://\S+", line)
    with receiving() as receiver:
        free = f"{receiver.address}"
        changes = {address: free, "watch runs/": f"watch runs/ --listen 127.0.0.1:{free_port()}"}
        with typed(line, tmp_path, changes):
            sick(tmp_path)
            eventually(lambda: receiver.taken)
        (text,) = receiver.texts()
        assert "NaNWithinFirstSteps" in text


def test_a_prometheus_finds_what_it_wants(tmp_path: Path) -> None:
    sick(tmp_path)
    port = free_port()
    with typed(command("--listen 0.0.0.0:6016"), tmp_path, {":6016": f":{port}"}):

        def told() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    text = answer.read().decode()
            except OSError:
                return False
            return bool(re.search(r"training_alert_active\{.*NaNWithinFirstSteps.*\} 1", text))

        eventually(told)
