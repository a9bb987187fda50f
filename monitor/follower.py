"""Log directories and an engine, joined: what ``check`` uses once and ``watch`` for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from monitor.alerts import Alert
from monitor.engine import Engine
from monitor.parallel import READ_BYTES, parts, processes, read_parts, read_to_the_end
from monitor.rules import RuleSet
from monitor.sources.logdir import FORGET_AFTER_SECONDS, LogDirs
from monitor.sources.scan import Root
from monitor.views import RunView

BATCHES_AT_ONCE = 50
"""Of a thousand runs that have grown, the first wait for what was found in so many more."""


class Follower:
    """Reads what is new in the log directories and keeps a view of every run.

    Runs whose files are gone are forgotten after ``forget_after`` seconds.
    ``views`` is replaced entry by entry, so that other threads may copy it at any time.
    """

    def __init__(
        self,
        logdirs: Sequence[Root],
        rules: RuleSet,
        forget_after: float = FORGET_AFTER_SECONDS,
    ) -> None:
        self.dirs = LogDirs(logdirs, forget_after)
        self.engine = Engine(rules)
        self.views: dict[str, RunView] = {}

    def catch_up(
        self,
        progress: Callable[[int, int], None] | None = None,
        final: bool = False,
        stop: Callable[[], bool] = lambda: False,
        share: float = 0.0,
        nice: int = 0,
    ) -> None:
        """Reads all that is there now; ``progress`` hears of bytes done and bytes left.

        ``final``: nobody writes any more, so bad bytes at the end of a file are corrupt.
        Ends early when ``stop`` says so. Where there is much to read in several runs,
        processes on ``share`` of the cores do it, with the niceness ``nice``.
        """
        self.dirs.rescan()
        changed: set[str] = set()
        for more in self._catch_up(final, share, nice):
            changed |= more
            if progress is not None:
                progress(self.dirs.stats.bytes, self.dirs.backlog)
            if stop():
                break
        self._refresh(changed)

    def _catch_up(self, final: bool, share: float, nice: int) -> Iterator[frozenset[str]]:
        sizes = self.dirs.run_sizes()
        jobs = processes(sizes, share)
        if jobs > 1:
            some = self.dirs.split(parts(sizes, jobs))
            for dirs, engine in read_parts(some, self.engine.rules, final, jobs, nice):
                self.dirs.put_back(dirs)
                self.engine.adopt(engine)
                yield frozenset(dirs.runs)
        yield from read_to_the_end(self.dirs, self.engine, final)

    def read(self, everything: bool = True) -> frozenset[str]:
        """Some of what is new: the runs that have changed. ``dirs.more`` tells if there is more.

        If not ``everything`` is asked for, what is of no interest to any rule comes later.
        """
        quiet = None if everything else self.engine.quiet
        batches = self.dirs.read(READ_BYTES, at_most=BATCHES_AT_ONCE, quiet=quiet)
        for batch in batches:
            self.engine.feed(batch)
        changed = frozenset(batch.run for batch in batches)
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
            del self.views[run]
        return gone

    def alerts(self) -> list[Alert]:
        """The alerts of all runs, in firing order."""
        found = [alert for view in list(self.views.values()) for alert in view.alerts]
        return sorted(found, key=lambda a: (a.fired.clock, a.run, a.fired.step))

    def _refresh(self, runs: frozenset[str] | set[str]) -> None:
        for run in runs:
            if run in self.engine.runs:
                self.views[run] = self.engine.view(run)
