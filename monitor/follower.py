"""Log directories and an engine, joined: what ``check`` uses once and ``watch`` for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from monitor.alerts import Alert
from monitor.engine import Engine
from monitor.ranks import Ranks
from monitor.rules import RuleSet
from monitor.sources.logdir import LogDirs
from monitor.views import RunView

READ_BYTES = 1 << 20
"""At most so much of one file in one pass: a huge file does not keep the others waiting."""


class Follower:
    """Reads what is new in the log directories and keeps a view of every run.

    ``views`` is replaced entry by entry, so that other threads may copy it at any time.
    """

    def __init__(self, logdirs: Sequence[Path], rules: RuleSet) -> None:
        self.dirs = LogDirs(logdirs)
        self.engine = Engine(rules)
        self.ranks = Ranks()
        self.views: dict[str, RunView] = {}

    def catch_up(
        self, progress: Callable[[int, int], None] | None = None, final: bool = False
    ) -> None:
        """Reads until nothing is left; ``progress`` hears of bytes done and bytes left.

        ``final``: nobody writes any more, so bad bytes at the end of a file are corrupt.
        """
        self.dirs.rescan()
        changed: set[str] = set()
        while more := self._pass(final):
            changed |= more
            if progress is not None:
                progress(self.dirs.stats.bytes, self.dirs.backlog)
        self._refresh(changed)

    def read(self) -> frozenset[str]:
        """One pass over files that have grown; the runs that have changed."""
        changed = self._pass(final=False)
        self._refresh(changed)
        return changed

    def tick(self, now: float) -> frozenset[str]:
        """Lets the liveness detectors listen; the runs that have changed."""
        changed = self.engine.tick(now)
        self._refresh(changed)
        return changed

    def rescan(self) -> frozenset[str]:
        """Looks for new files and forgets runs whose files are gone; names of these."""
        self.dirs.rescan()
        gone = frozenset(self.views.keys() - self.dirs.runs)
        for run in gone:
            self.engine.forget(run)
            self.ranks.forget(run)
            del self.views[run]
        return gone

    def alerts(self) -> list[Alert]:
        """The alerts of all runs, in firing order."""
        found = [alert for view in list(self.views.values()) for alert in view.alerts]
        return sorted(found, key=lambda a: (a.fired.clock, a.run, a.fired.step))

    def _pass(self, final: bool) -> frozenset[str]:
        batches = self.dirs.read(READ_BYTES, final)
        for batch in batches:
            self.engine.feed(self.ranks.join(batch))
        return frozenset(batch.run for batch in batches)

    def _refresh(self, runs: frozenset[str] | set[str]) -> None:
        for run in runs:
            self.views[run] = self.engine.view(run)
