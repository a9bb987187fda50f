"""Runs the real command in a real process, for tests of the whole program."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 60.0


def run(
    *arguments: str | Path, patience: float = PATIENCE_SECONDS
) -> subprocess.CompletedProcess[str]:
    """``monitor ARGUMENTS`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "monitor", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


@dataclass
class Watch:
    """A running ``monitor watch``."""

    process: subprocess.Popen[str]
    address: str
    log: list[str]

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of a request."""
        return self._ask(urllib.request.Request(self.address + path))

    def post(self, path: str) -> tuple[int, str]:
        return self._ask(urllib.request.Request(self.address + path, method="POST"))

    def _ask(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def alerts(self) -> list[dict[str, Any]]:
        found = json.loads(self.get("/api/v1/alerts")[1])
        assert isinstance(found, list)
        return found

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one sample, None if it is not there."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        for line in self.get("/metrics")[1].splitlines():
            if re.match(rf"{name}[{{ ]", line) and all(pair in line for pair in wanted):
                return float(line.rsplit(" ", 1)[1])
        return None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def logged(self, text: str) -> bool:
        return any(text in line for line in self.log)


@contextmanager
def watching(logdir: Path | str, *arguments: str | Path, ready: bool = True) -> Iterator[Watch]:
    """``monitor watch LOGDIR`` on a free port, until the block is left."""
    command = [sys.executable, "-m", "monitor", "watch", logdir, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*map(str, command), *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    log: list[str] = []
    reader = threading.Thread(target=_collect, args=(process, log), daemon=True)
    reader.start()
    try:
        eventually(lambda: any("listening" in line for line in log), process, log)
        address = next(
            found[0] for line in log if (found := re.findall(r"https?://[\d.]+:\d+", line))
        )
        watch = Watch(process, address, log)
        if ready:
            eventually(lambda: watch.get("/-/ready")[0] == 200, process, log)
        yield watch
    finally:
        process.kill()
        process.wait()
        reader.join(PATIENCE_SECONDS)
        assert process.stderr is not None
        process.stderr.close()


def _collect(process: subprocess.Popen[str], log: list[str]) -> None:
    assert process.stderr is not None
    log.extend(iter(process.stderr.readline, ""))


def eventually(
    condition: Callable[[], object],
    process: subprocess.Popen[str] | None = None,
    log: list[str] | None = None,
) -> float:
    """Polls until ``condition`` holds; returns the seconds it took."""
    begin = time.monotonic()
    while not condition():
        spent = time.monotonic() - begin
        dead = process is not None and process.poll() is not None
        if spent > PATIENCE_SECONDS or dead:
            raise AssertionError(f"not within {spent:.1f} s; log:\n" + "".join(log or []))
        time.sleep(0.002)
    return time.monotonic() - begin
