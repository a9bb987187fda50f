"""Curves of open runs, read by a process of their own.

Reading a million points takes a second of CPU, which the daemon's loop must not wait for: not even
for the interpreter's lock. So one process, with a low priority, reads for all pages; it is started
when the first page asks, ends when nobody has asked for a while, and when the daemon is gone.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from monitor.page.framing import Kind, get
from monitor.page.watched import Watched
from monitor.sources.scan import Root

ANSWERS_KEPT = 64
FRESH_SECONDS = 0.4
"""An answer is not made anew more often, however fast a run is written."""
PATIENCE_SECONDS = 60.0
"""A process that says nothing for longer is ended: the store it reads from may hang."""


class UnreadableError(Exception):
    """The run could not be read; says why."""


@dataclass(slots=True)
class _Answer:
    of: object
    """The view that it was made for."""
    at: float
    body: bytes


class Reader:
    """Asks the process; in the HTTP loop, for any number of pages at once."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._kept: OrderedDict[str, _Answer] = OrderedDict()
        self._asked: dict[str, asyncio.Task[bytes]] = {}
        self._one = asyncio.Lock()
        self._process = Process()

    async def prepare(self, run: str | None) -> None:
        """Starts the process, and has it read a run: its curves will be asked for soon."""
        if run is None:
            async with self._one:
                await run_in_threadpool(self._process.start, self._watched.logdirs)
        else:
            with suppress(UnreadableError):
                await self.ask(run, {"tags": [], "points": 10})

    async def ask(self, run: str, what: Mapping[str, object]) -> bytes:
        """The answer as JSON, for the run as it stands now; UnreadableError."""
        key = json.dumps([run, what])
        view = self._watched.views().get(run)
        known = self._kept.get(key)
        if known is not None and known.of is view:
            self._kept.move_to_end(key)
            return known.body
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._read(key, run, what))
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        # One page that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def _read(self, key: str, run: str, what: Mapping[str, object]) -> bytes:
        known = self._kept.get(key)
        if known is not None:
            await asyncio.sleep(max(0.0, known.at + FRESH_SECONDS - time.monotonic()))
        async with self._one:
            view = self._watched.views().get(run)
            request = {"run": run, **what}
            whole, body = await run_in_threadpool(self._process.ask, self._watched.logdirs, request)
        if not whole:
            return body
        self._kept[key] = _Answer(view, time.monotonic(), body)
        self._kept.move_to_end(key)
        while len(self._kept) > ANSWERS_KEPT:
            self._kept.popitem(last=False)
        return body

    def close(self) -> None:
        """Ends the process."""
        self._process.close()


class Process:
    """The other process; one question at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, logdirs: Sequence[Root], request: Mapping[str, object]) -> tuple[bool, bytes]:
        """The answer, and whether it is of the whole run; blocks; UnreadableError."""
        for last in (False, True):
            process = self.start(logdirs)
            try:
                return _exchange(process, request)
            except OSError as error:
                self.close()  # It may have ended because nobody asked: once more, then.
                if last:
                    raise UnreadableError(f"The run could not be read: {error}") from error
        raise AssertionError

    def start(self, logdirs: Sequence[Root]) -> subprocess.Popen[bytes]:
        """Starts it, unless it runs."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "monitor.page"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            stdin = self._process.stdin
            assert stdin is not None
            with suppress(OSError):  # told by the exchange that follows
                pickle.dump(tuple(logdirs), stdin)
                stdin.flush()
        return self._process

    def close(self) -> None:
        """Ends it, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _exchange(
    process: subprocess.Popen[bytes], request: Mapping[str, object]
) -> tuple[bool, bytes]:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    timer = threading.Timer(PATIENCE_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        kind, body = get(stdout)
    finally:
        timer.cancel()
    if kind is Kind.PROBLEM:
        raise UnreadableError(body.decode("utf-8", "replace"))
    return kind is Kind.WHOLE, body
