"""Which runs have changed: told by the daemon's loop, heard by any number of open pages.

Telling costs the loop the same however many pages are open: it notes names, and wakes the HTTP
loop at most once until that has looked.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

NEWS_KEPT = 200
"""Alerts that a page hears of; one that sleeps through more sees them when it looks."""
RUNS_NAMED = 100
"""More changed runs than these are told as "many"."""


@dataclass(frozen=True, slots=True)
class News:
    """An alert of a run began or ceased to fire."""

    run: str
    alert: str
    severity: str
    summary: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What is new since a listener last looked."""

    version: int
    runs: tuple[str, ...]
    many: bool
    """More runs have changed than are named, or some are gone."""
    news: tuple[News, ...]


@dataclass(eq=False, slots=True)
class Listener:
    """One open page; both events belong to the HTTP loop."""

    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Something was told."""
    urgent: asyncio.Event = field(default_factory=asyncio.Event)
    """News of an alert was among it."""


class Changes:
    """A notice board between the daemon's loop and the one loop of the HTTP thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: dict[str, int] = {}
        self._news: deque[tuple[int, News]] = deque(maxlen=NEWS_KEPT)
        self._gone = 0
        self._told = self._urgent = False
        self._listeners: set[Listener] = set()
        self._call: Callable[[], object] | None = None
        self.version = 0
        self.closed = False

    # --- the daemon's loop --------------------------------------------------------------

    def tell(
        self, runs: Iterable[str], news: Sequence[News] = (), gone: Iterable[str] = ()
    ) -> None:
        """These runs have changed or are ``gone``, and this is what is news of their alerts."""
        with self._lock:
            self.version += 1
            for run in runs:
                self._changed[run] = self.version
            for run in gone:
                self._changed.pop(run, None)
                self._gone = self.version
            self._news.extend((self.version, each) for each in news)
            self._urgent = self._urgent or bool(news)
        self._wake()

    def close(self) -> None:
        """Nothing comes any more: whoever listens leaves."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        call = self._call
        if call is None or (self._told and not self.closed):
            return
        self._told = True
        try:
            call()
        except RuntimeError:  # the HTTP loop is closed already
            self._call = None

    # --- the HTTP loop ------------------------------------------------------------------

    @property
    def listeners(self) -> int:
        """How many pages are open."""
        return len(self._listeners)

    def listen(self) -> Listener:
        """A page is opened."""
        loop = asyncio.get_running_loop()
        listener = Listener()
        self._listeners.add(listener)
        self._call = lambda: loop.call_soon_threadsafe(self._pass_on)
        return listener

    def leave(self, listener: Listener) -> None:
        """The page is closed."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._call = None
            self._told = False

    def _pass_on(self) -> None:
        self._told = False  # first, so that what is told from here on wakes again
        urgent, self._urgent = self._urgent or self.closed, False
        for listener in self._listeners:
            listener.heard.set()
            if urgent:
                listener.urgent.set()

    def since(self, version: int) -> Change | None:
        """What was told after ``version``; None if nothing was."""
        with self._lock:
            if self.version == version:
                return None
            runs = tuple(run for run, at in self._changed.items() if at > version)
            news = tuple(each for at, each in self._news if at > version)
            many = len(runs) > RUNS_NAMED or self._gone > version
            return Change(self.version, runs[:RUNS_NAMED], many, news)
