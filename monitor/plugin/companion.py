"""The monitor beside TensorBoard: started when it is first needed, started again if it is gone."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

PATIENCE_SECONDS = 60.0


class GoneError(Exception):
    """It did not start; says why."""


class Companion:
    """One monitor for some log directories; may be asked from several threads."""

    def __init__(self, logdirs: Sequence[str]) -> None:
        self._logdirs = list(logdirs)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._at: tuple[str, int] | None = None

    def address(self) -> tuple[str, int]:
        """Host and port; GoneError."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            assert self._at is not None
            return self._at

    def close(self) -> None:
        """Ends it."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _start(self) -> None:
        if not self._logdirs:
            raise GoneError("TensorBoard was started without a log directory.")
        process = subprocess.Popen(  # noqa: S603 - ourselves, without a shell
            [sys.executable, "-m", "monitor.plugin.child", *self._logdirs],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        atexit.register(self.close)
        timer = threading.Timer(PATIENCE_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        try:
            self._at = _listening(process)
        finally:
            timer.cancel()
        self._process = process
        threading.Thread(target=_drain, args=(process,), name="monitor-log", daemon=True).start()


def _listening(process: subprocess.Popen[str]) -> tuple[str, int]:
    """Where it says that it listens."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said = line.strip() or said
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "listening":
            where = urlsplit(str(event["address"]))
            if where.hostname is not None and where.port is not None:
                return where.hostname, where.port
    process.wait()
    raise GoneError(f"The monitor did not start: {said or 'it said nothing'}")


def _drain(process: subprocess.Popen[str]) -> None:
    """Its log goes where TensorBoard's goes, so that its pipe is never full."""
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
