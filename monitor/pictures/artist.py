"""Pictures for the HTTP side, each drawn by ``monitor plot`` in a process of its own.

Reading and drawing take a second of CPU, which the daemon's loop must not wait for.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from monitor.pictures import MISSING, available
from monitor.sources.scan import Root

AT_ONCE, WAITING = 2, 16
KEPT = 64
FRESH_SECONDS = 20.0
"""A picture of a run that goes on is not drawn anew more often."""
PATIENCE_SECONDS = 60.0


class NoPictureError(Exception):
    """It could not be drawn; says why."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    of: object
    at: float
    body: bytes


class Artist:
    """Draws; in the HTTP loop, for any number of people at once."""

    def __init__(self, logdirs: Sequence[Root], rules: Path | None) -> None:
        self._options = [] if rules is None else [f"--rules={rules}"]
        self._logdirs = [str(root) for root in logdirs]
        self._kept: OrderedDict[tuple[str, str | None, str], _Drawn] = OrderedDict()
        self._asked: dict[tuple[str, str | None, str], asyncio.Task[bytes]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def picture(self, of: object, run: str, alert: str | None, kind: str) -> bytes:
        """The picture of a run or an alert; NoPictureError.

        ``of``: what it shows: as long as that is the same object, or was a moment ago, what was
        drawn last is good.
        """
        key = run, alert, kind
        known = self._kept.get(key)
        if known and (known.of is of or time.monotonic() - known.at < FRESH_SECONDS):
            self._kept.move_to_end(key)
            return known.body
        task = self._asked.get(key)
        if task is None:
            if len(self._asked) >= WAITING:
                raise NoPictureError("Too many pictures are asked for at once.")
            task = self._asked[key] = asyncio.create_task(self._draw(of, run, alert, kind))
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        # One who goes away must not take the picture from the others.
        return await asyncio.shield(task)

    async def _draw(self, of: object, run: str, alert: str | None, kind: str) -> bytes:
        if not available():
            raise NoPictureError(f"{MISSING}.")
        options = [f"--run={run}", f"--format={kind}", "--output=-", *self._options]
        options += [] if alert is None else [f"--alert={alert}"]
        command = [sys.executable, "-m", "monitor", "plot", *options, "--", *self._logdirs]
        async with self._room:
            body = await run_in_threadpool(_run, command)
        self._kept[run, alert, kind] = _Drawn(of, time.monotonic(), body)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return body


def _run(command: Sequence[str]) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - ourselves; no shell, and names stand behind a "="
            command, capture_output=True, timeout=PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPictureError(f"The picture could not be drawn: {type(error).__name__}.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NoPictureError(f"The picture could not be drawn: {said[-1] if said else 'no reason'}")
    return done.stdout
