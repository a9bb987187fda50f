"""The health file: a bounded queue, one thread, append only. The disk never stops training."""

from __future__ import annotations

import itertools
import logging
import os
import re
import socket
import threading
import time
from collections import deque
from io import FileIO
from pathlib import Path
from typing import Protocol

from monitor.formats import tfrecord
from monitor.formats.layerstats import Header, encode_end, encode_header_text, header_text

log = logging.getLogger("monitor.hook")

QUEUE = 256
"""Records that may wait for the disk; a full queue drops the newest and counts it."""

_HEADER_EVERY = 100
_POLL_SECONDS = 0.002
_GIVE_UP_SECONDS = 10.0

_files = itertools.count()


class Record(Protocol):
    """One step's record on its way to the file."""

    @property
    def step(self) -> int:
        """The step it belongs to."""

    @property
    def wall_time(self) -> float:
        """When it happened, in seconds since the epoch."""

    @property
    def header(self) -> Header | None:
        """The header that it needs before it."""

    def ready(self) -> bool:
        """Whether its numbers have arrived on the host."""

    def encode(self) -> bytes:
        """The payload; called once, in the writer's thread."""


def file_name(now: float) -> str:
    """The name of a new health file: ``events.out.health.tfevents.<seconds>.<host>.<pid>.<n>``.

    It must sort before any ``events.out.tfevents...``: TensorBoard's Python loader reads a
    directory's files in order of their names and never returns to an earlier one, so a file of
    ours that sorted behind the user's would freeze the user's curves.
    """
    host = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "localhost"
    return f"events.out.health.tfevents.{int(now):010d}.{host}.{os.getpid()}.{next(_files)}"


class Writer:
    """Appends records to one file from a thread of its own.

    Nothing here raises into the caller or waits for the disk, but ``close``, which waits for the
    queue to drain, ten seconds at most. After an error of the disk it says so once and drops
    what follows. In a forked child it does nothing: the file is its parent's.
    """

    def __init__(self, path: Path, limit: int = QUEUE) -> None:
        self.path = path
        self.dropped = 0
        """Records lost to a full queue or a failing disk."""
        self.written = 0
        """Records in the file, headers not counted."""
        self._limit = limit
        self._queue: deque[Record] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._finished = False
        self._failed = False
        self._pid = os.getpid()
        self._last_step = 0
        self._header: Header | None = None
        self._header_text = b""
        self._frames_since_header = 0
        self._file: FileIO | None = None
        self._thread = threading.Thread(target=self._run, name="monitor-hook", daemon=True)

    def start(self) -> None:
        """Begin to write what is in the queue and what comes."""
        self._thread.start()

    def offer(self, record: Record) -> bool:
        """Queue a record for writing; False if it was dropped."""
        if os.getpid() != self._pid:
            return False
        with self._wake:
            if self._closing or self._failed or len(self._queue) >= self._limit:
                self.dropped += 1
                return False
            self._queue.append(record)
            self._wake.notify()
        return True

    def close(self, finished: bool = True) -> None:
        """Write what is queued and, if it ``finished``, the mark that says: this run is over."""
        if os.getpid() != self._pid:
            return
        with self._wake:
            self._closing = True
            self._finished = finished
            self._wake.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_GIVE_UP_SECONDS)

    def _run(self) -> None:
        try:
            while (record := self._next()) is not None:
                self._write(record)
            if self._finished:
                self._append(encode_end(self._last_step, time.time()))
        except OSError as error:
            self._fail(error)
        finally:
            if self._file is not None:
                self._file.close()

    def _next(self) -> Record | None:
        with self._wake:
            while not self._queue and not self._closing:
                self._wake.wait()
            return self._queue.popleft() if self._queue else None

    def _write(self, record: Record) -> None:
        """One record, behind a header if one is due; an unusable record costs itself only."""
        try:
            self._wait_for(record)
            payload = record.encode()
            head = self._head(record)
        except Exception as error:  # the next record may be good
            self.dropped += 1
            if self.dropped == 1:
                log.warning("a record of step %s was lost: %s", record.step, error)
            return
        if head:
            self._append(head)
            self._frames_since_header = 0
        self._append(payload)
        self._last_step = record.step
        self.written += 1
        self._frames_since_header += 1

    def _head(self, record: Record) -> bytes:
        """The header to write before ``record``; empty if none is due."""
        header = record.header
        if header is None:
            return b""
        if header is not self._header:
            self._header_text = header_text(header)
            self._header = header
        elif self._frames_since_header < _HEADER_EVERY:
            return b""
        # Not the present time: then records that have been waiting would seem to come from before
        # their header, all at the same moment, and could not be told which was first.
        return encode_header_text(self._header_text, record.step, record.wall_time)

    def _wait_for(self, record: Record) -> None:
        """Wait for the device, in this thread; not for ever once the process wants to end."""
        waited = 0.0
        while not record.ready():
            with self._wake:
                self._wake.wait(_POLL_SECONDS)
                waited = waited + _POLL_SECONDS if self._closing else 0.0
            if waited > _GIVE_UP_SECONDS / 2:
                raise TimeoutError("the device did not finish")

    def _append(self, payload: bytes) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self.path, "a")
        frame = memoryview(tfrecord.encode(payload))
        while frame:
            frame = frame[self._file.write(frame) :]

    def _fail(self, error: OSError) -> None:
        with self._wake:
            self._failed = True
            self.dropped += len(self._queue)
            self._queue.clear()
        log.warning("layer statistics are no longer written, training goes on: %s", error)
