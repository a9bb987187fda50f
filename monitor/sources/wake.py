"""Wakes the daemon when something below the log directories changes: a hint, never the truth.

inotify says nothing of remote writers on NFS, CIFS or FUSE, nor of writes through mmap, and its
queue overflows. So everything works without a single hint, only later; where watchdog knows no
way to be told of changes, it does just that.

Hints are for quiet times. When files change hundreds of times a second (torch's SummaryWriter
opens, appends and closes for every event) each hint costs more than it tells: then the hints are
switched off for a while and waits end by themselves every :attr:`Waker.pause` seconds.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

COALESCE_SECONDS = 0.02
"""Waits end at most this often because of hints, unless told otherwise."""
STORM_HINTS = 50
"""So many hints within a second are a storm: twice as many as the waits that they could end."""
STORM_SECONDS = 10.0
LONGEST_STORM_SECONDS = 320.0
"""How long the hints stay off after a storm has begun; twice as long each time that it still
blows, for switching them on means to watch every directory anew."""

# It calls it an error when an event comes while the hints are being switched off.
logging.getLogger("watchdog").addHandler(logging.NullHandler())
# And it warns when a directory is made while its parent is being scanned, of watching it twice.
warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)

# Not opening, reading and closing: the daemon itself does that all the time.
_WANTED: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]


class Waker(FileSystemEventHandler):
    """A context in which :meth:`wait` returns early when there is something to do.

    ``roots`` that do not exist when the context is entered give no hints.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)
        self._observer: BaseObserver | None = None
        # A pipe and not a threading.Event, because that cannot be set in a signal handler
        # while the same thread waits for it.
        self._out = self._in = -1
        self._hinted = False
        self._woken_at = 0.0
        self._counted_from = 0.0
        self._count = 0
        self._storm_until = 0.0
        self._storm = STORM_SECONDS
        self._calm_since = -math.inf
        self._appeared = False
        self.pause = COALESCE_SECONDS
        """Waits that end because of hints end at least so many seconds apart."""

    @property
    def appeared(self) -> bool:
        """Whether a file or directory has come or gone since this was last asked."""
        appeared, self._appeared = self._appeared, False
        return appeared

    @property
    def hints(self) -> bool:
        """Whether the system tells of changes just now."""
        return self._observer is not None

    def __enter__(self) -> Waker:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop_listening()
        out, into, self._out, self._in = self._out, self._in, -1, -1
        os.close(into)
        os.close(out)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in its thread, for every change."""
        self._count += 1
        if not isinstance(event, FileModifiedEvent):
            self._appeared = True
        if not self._hinted:
            self._hinted = True
            self.wake()

    def wait(self, timeout: float) -> bool:
        """Waits up to ``timeout`` seconds; whether something has changed or has called.

        While the hints are off, it may return True although nothing has changed.
        """
        now = time.monotonic()
        due = self._woken_at + self.pause - now
        stormy = self._weather(now) and due <= timeout
        ready = self._readable(due if stormy else timeout)
        if ready and self._hinted:
            # The first hint after a pause wakes at once; those of a stream wait for each other.
            time.sleep(max(0.0, self._woken_at + self.pause - time.monotonic()))
        if ready or stormy:
            self._woken_at = time.monotonic()
            if ready:
                os.read(self._out, 1 << 16)
            # Only now: a hint before this line is about what the caller is going to read.
            self._hinted = False
        return ready or stormy

    def calm(self) -> None:
        """Nothing has changed for a while: if the hints are off, they can be on again."""
        self._storm_until = min(self._storm_until, time.monotonic())

    def wake(self) -> None:
        """Ends the present :meth:`wait`, or the next; from any thread or signal handler."""
        # A full pipe wakes as well, and after the end there is nobody left to wake.
        with contextlib.suppress(OSError):
            os.write(self._in, b"!")

    def _readable(self, timeout: float) -> bool:
        return bool(select.select([self._out], [], [], max(0.0, timeout))[0])

    def _weather(self, now: float) -> bool:
        """Switches the hints off when they come too fast, and on again; whether they are off."""
        if self._storm_until and now >= self._storm_until:
            self._storm_until, self._calm_since = 0.0, now
            self._listen()
        elif now - self._counted_from >= 1.0:
            self._counted_from, self._count = now, 0
        elif self._count > STORM_HINTS and self._observer is not None:
            self._stop_listening()
            again = now - self._calm_since < STORM_SECONDS
            longer = min(2 * self._storm, LONGEST_STORM_SECONDS)
            self._storm = longer if again else STORM_SECONDS
            self._storm_until = now + self._storm
        return bool(self._storm_until)

    def _listen(self) -> None:
        self._count = 0
        observer = Observer()
        try:
            for root in self._roots:
                if root.exists():
                    path = root if root.is_dir() else root.parent
                    recursive = root.is_dir()
                    observer.schedule(self, str(path), recursive=recursive, event_filter=_WANTED)
            observer.start()
        except (OSError, RuntimeError):  # Out of inotify watches, or no inotify.
            _end(observer)
            return
        self._observer = observer

    def _stop_listening(self) -> None:
        if self._observer is not None:
            _end(self._observer)
            self._observer = None


def _end(observer: BaseObserver) -> None:
    with contextlib.suppress(RuntimeError):  # It was never started.
        observer.stop()
        observer.join()
