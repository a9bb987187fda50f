"""``monitor watch``: the only loop and the only clock.

Everything that happens, happens in :meth:`Daemon.run`: read what is new, let the liveness
detectors listen, tell what is news. The HTTP thread looks at frozen views and can ask for two
things, a reload and an end.
"""

from __future__ import annotations

import gc
import math
import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector

from monitor.alerts import Alert
from monitor.archive import Archive
from monitor.follower import Follower
from monitor.notices import AlertDocument, Notice, document
from monitor.own_metrics import OwnMetrics
from monitor.page.changes import Changes, News
from monitor.page.watched import Watched
from monitor.rules import RuleSet, RulesInvalid, load
from monitor.sinks.ledger import Ledger
from monitor.sinks.log import Logger
from monitor.sinks.prometheus import Exposition
from monitor.sources.logdir import FORGET_AFTER_SECONDS
from monitor.sources.scan import Root
from monitor.sources.wake import Waker
from monitor.views import RunView
from monitor.web import Door

CALM_SECONDS = 5.0
"""Without a hint and without news for so long, hints are asked for again."""
STAT_SECONDS = 1.0
"""Known files are checked this often, hint or no hint: network file systems give none."""
RESCAN_SECONDS, RESCAN_AT_LEAST_SECONDS = 10.0, 60.0
RESCAN_IDLE_PAUSES = 400
"""Directories are walked for new files every ten seconds; where that would be more than a quarter
percent of the time, less often, but each minute."""
RESCAN_AT_MOST = 0.25
RESCAN_PAUSES = 10
"""When a hint says that a file has come or gone they are walked at once, but not within so many
seconds of the last time, nor for more than a tenth of the time."""
LISTEN_SECONDS = 10.0
"""Silence is listened to this often: it counts from minutes on. The ledger hears as often that the
daemon is alive."""
SHORT_PAUSE_SECONDS, LONG_PAUSE_SECONDS = 0.034, 0.15
"""After a pass the daemon rests for the short pause, which keeps an alert within 50 ms; and for as
long as it took, up to the long one. It sits beside expensive work: a thousand busy runs are read
less often, and more of each at once."""
CATCH_UP_SHARE, CATCH_UP_NICENESS = 0.5, 10
"""Of the cores, when there is much to read at the start: the training has precedence."""
RELOAD_TIMEOUT_SECONDS = 120.0
LAST_LOOK_SECONDS = 3.0
"""When it is told to end, the daemon reads what there is, for so long at most: a trainer's last
words may have come a moment before its end, which is the sidecar's end too."""


class Sink(Protocol):
    """Takes notices; raises nothing."""

    @property
    def name(self) -> str: ...

    def publish(self, notice: Notice) -> None: ...


class Remote(Protocol):
    """Delivers what stands in the ledger, or what fires, in a thread of its own."""

    def wake(self) -> None:
        """Something is news."""
        ...


class Screen(Protocol):
    """What a person at a terminal sees."""

    def progress(self, done: int, left: int) -> None: ...
    def show(self, views: Sequence[RunView]) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line said."""

    logdirs: tuple[Root, ...]
    rules: Path | None = None
    layer_stats: frozenset[str] = frozenset()
    """Layer statistics exported as ``training_layer_<stat>``."""
    exit_when_idle: float | None = None
    """End when some run was seen and nothing was written for so many seconds; None: never."""


def _pause(busy: float) -> float:
    """How long to rest after a pass that took ``busy`` seconds."""
    return max(SHORT_PAUSE_SECONDS, min(busy, LONG_PAUSE_SECONDS))


def _news(notice: Notice) -> News:
    said = notice.document
    return News(said["run"], said["alert"], said["severity"], said["summary"], notice.resolved)


class Daemon:
    """Follows log directories until told to stop."""

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        log: Logger,
        sinks: Sequence[Sink],
        screen: Screen,
        ledger: Ledger,
    ) -> None:
        self._settings = settings
        self._log = log
        self._sinks = sinks
        self._screen = screen
        self._ledger = ledger
        self._remotes: tuple[Remote, ...] = ()
        self._follower = Follower(settings.logdirs, rules)
        self._archive = Archive()
        self._found: set[str] = set()
        self._problems: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._ledger_lost = False
        self._ready = False
        self._stopping = False
        self._reloads: queue.SimpleQueue[Future[str | None]] = queue.SimpleQueue()
        self._changes = Changes()
        self._wake: Callable[[], None] = lambda: None
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._metrics = OwnMetrics(registry)
        self._metrics.rules.set(len(rules.rules))
        self._metrics.reload_ok.set(1)
        self._exposition = Exposition(
            registry,
            lambda: list(self._follower.views.values()),
            lambda: self._follower.engine.rules.rules,
            settings.layer_stats,
        )

    @property
    def door(self) -> Door:
        """What the HTTP side may ask."""
        watched = Watched(
            views=lambda: dict(self._follower.views),
            ready=lambda: self._ready,
            roles=lambda: self._follower.engine.rules.roles,
            logdirs=self._settings.logdirs,
            rules=self._settings.rules,
            changes=self._changes,
        )
        return Door(
            self._exposition.answer, lambda: self._ready, self.documents, self.reload, watched
        )

    def alerts(self) -> list[Alert]:
        """What people may want to be told of, in firing order: not of runs that are long over."""
        now = time.time()
        return [a for a in self._follower.alerts() if not self._archive.holds(a.run, now)]

    def documents(self) -> list[AlertDocument]:
        """All alerts as JSON documents."""
        return [document(alert) for alert in self._follower.alerts()]

    def directory(self, run: str) -> Path | None:
        """Where a run's files are, if that is on this machine; for any thread."""
        return self._follower.dirs.directory(run)

    def attach(self, remotes: Sequence[Remote]) -> None:
        """Whom to wake when something is news; before :meth:`run`."""
        self._remotes = tuple(remotes)

    def counting(self, sink: str) -> Callable[[str], None]:
        """Counts the outcomes of a sink's messages; for any thread."""
        for outcome in ("ok", "retried", "refused", "given_up"):  # Prometheus wants them at 0 first
            self._metrics.notices.labels(sink, outcome)
        return lambda outcome: self._metrics.notices.labels(sink, outcome).inc()

    def watch_queue(self, sink: str) -> None:
        """Exports how much waits for a sink that takes its messages from the ledger."""
        self._metrics.waiting.labels(sink).set_function(lambda: self._ledger.waiting(sink))

    def stop(self) -> None:
        """Ends the loop soon; may be called from a signal handler or another thread."""
        self._stopping = True
        self._wake()

    def request_reload(self) -> Future[str | None]:
        """Has the loop reload the rules; the future tells None or what is wrong with them."""
        answer: Future[str | None] = Future()
        self._reloads.put(answer)
        self._wake()
        return answer

    def reload(self) -> str | None:
        """Reloads the rules and waits for the outcome; for other threads than the loop's."""
        try:
            return self.request_reload().result(RELOAD_TIMEOUT_SECONDS)
        except TimeoutError:
            return "timed out"

    def run(self) -> None:
        """Catches up, then follows until :meth:`stop`."""
        local = [root for root in self._settings.logdirs if isinstance(root, Path)]
        with Waker(local) as waker:
            self._wake = waker.wake
            started = time.monotonic()
            self._follower.catch_up(
                self._screen.progress,
                stop=lambda: self._stopping,
                share=CATCH_UP_SHARE,
                nice=CATCH_UP_NICENESS,
            )
            if not self._stopping:  # Else it was read in part only: nothing can be said of it.
                self._begin(waker, started)
                self._follow(waker)
                self._look_again()
                self._ledger.beat(time.time())
        self._log.info("stopped")

    def _begin(self, waker: Waker, started: float) -> None:
        """Tells what is news in all that was there; from now on the daemon is ready."""
        self._publish(frozenset(self._follower.views))
        self._ledger.ready(self._follower.views, time.time())
        self._metrics.follow(self._follower)
        self._report_problems()
        # What was read stays: a garbage collector that walks through the memories of a thousand
        # runs every few seconds costs more than all else that is done for idle ones.
        gc.collect()
        gc.freeze()
        self._ready = True
        self._metrics.ready.set(1)
        self._log.info(
            "ready",
            runs=len(self._follower.views),
            files=self._follower.dirs.files,
            records=self._follower.dirs.stats.records,
            seconds=round(time.monotonic() - started, 3),
            inotify=waker.hints,
        )

    def _follow(self, waker: Waker) -> None:
        scan_from = scan_by = listened = checked = heard = busy = 0.0
        written = time.monotonic()
        lost_by = time.monotonic() + FORGET_AFTER_SECONDS
        while not self._stopping:
            if self._follower.dirs.more:
                waker.pause = 0.0
                waker.wait(0.0)
            else:
                waker.pause = _pause(busy)
                waker.wait(max(0.0, min(STAT_SECONDS, scan_by - time.monotonic())))
                busy = 0.0
            now = time.monotonic()
            while not self._reloads.empty():
                answer = self._reloads.get()
                answer.set_result(self._reload())
            if now >= scan_by or (now >= scan_from and waker.appeared):
                self._forget(self._follower.rescan())
                if now >= lost_by:  # They were gone when the daemon started, and are so still.
                    self._forget(self._ledger.runs() - self._follower.views.keys())
                    lost_by = math.inf
                cost = time.monotonic() - now
                pause = max(RESCAN_SECONDS, RESCAN_IDLE_PAUSES * cost)
                scan_by = now + min(pause, RESCAN_AT_LEAST_SECONDS)
                scan_from = now + max(RESCAN_AT_MOST, RESCAN_PAUSES * cost)
            changed = self._read(everything=False)
            if changed:
                written = now
            elif self._idle_since(written, now):
                return
            if now - listened >= LISTEN_SECONDS:
                changed |= self._follower.tick(time.time())
                self._ledger.beat(time.time())
                listened = now
            self._publish(changed)
            if changed:
                heard = now
            elif now - heard >= CALM_SECONDS:
                waker.calm()
            if now - checked >= STAT_SECONDS:
                self._metrics.follow(self._follower)
                self._report_problems()
                checked = now
            busy += time.monotonic() - now

    def _idle_since(self, written: float, now: float) -> bool:
        """Whether it is time to end of oneself; both in seconds of the monotonic clock."""
        limit = self._settings.exit_when_idle
        if limit is None or now - written < limit or not self._follower.views:
            return False
        self._log.info("ending: nothing was written", seconds=round(now - written))
        return True

    def _look_again(self) -> None:
        """Reads what there is at the end, and tells what is news in it."""
        by = time.monotonic() + LAST_LOOK_SECONDS
        self._forget(self._follower.rescan())
        self._follower.dirs.sweep()
        while changed := self._read(everything=True):
            self._publish(changed)
            if time.monotonic() >= by:
                break

    def _read(self, everything: bool) -> frozenset[str]:
        """One pass: of each file that has grown, a piece, so that none keeps others waiting."""
        started = time.perf_counter()
        changed = self._follower.read(everything)
        if changed:
            self._metrics.evaluation.observe(time.perf_counter() - started)
            newest = max(self._follower.views[run].last_event for run in changed)
            self._metrics.lag.set(max(0.0, time.time() - newest))
        return changed

    def _publish(self, changed: frozenset[str]) -> None:
        """Tells the sinks and the screen what is news of the runs that have changed."""
        found: list[Notice] = []
        now = time.time()
        for run in changed:
            view = self._follower.views[run]
            if run not in self._found:
                self._found.add(run)
                self._log.info("run found", run=run, step=view.last_step)
            self._archive.note(view, now, self._follower.dirs.written(run))
            found += self._ledger.update(run, view.alerts, now, self._archive.holds(run, now))
        self._tell(found)
        if changed:
            self._changes.tell(changed, [_news(notice) for notice in found])
        self._screen.show(list(self._follower.views.values()))

    def _tell(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            for sink in self._sinks:
                sink.publish(notice)
                self._metrics.notices.labels(sink.name, "ok").inc()
        for remote in self._remotes if notices else ():
            remote.wake()

    def _report_problems(self) -> None:
        problems = dict(self._follower.dirs.problems)
        for path, message in problems.items():
            if self._problems.get(path) != message:
                self._log.warning("cannot read", path=path, problem=message)
        self._problems = problems
        failures = dict(self._follower.engine.failures)
        for alert in failures.keys() - self._failures.keys():
            self._log.error("a detector failed", alert=alert, problem=failures[alert])
        self._failures = failures
        if self._ledger.lost and not self._ledger_lost:
            self._ledger_lost = True
            self._log.error(
                "the ledger is in memory only from now on: after a restart notices may come twice",
                problem=self._ledger.lost,
            )

    def _forget(self, runs: frozenset[str]) -> None:
        for run in runs:
            self._found.discard(run)
            self._archive.forget(run)
            self._log.info("run gone", run=run)
            self._tell(self._ledger.update(run, (), time.time()))
        if runs:
            self._changes.tell((), gone=runs)

    def _reload(self) -> str | None:
        """New rules, and everything read again under them; the old ones stay if they are bad."""
        try:
            rules = load(self._settings.rules)
        except (RulesInvalid, OSError) as error:
            self._metrics.reload_ok.set(0)
            self._log.error("rules not reloaded, the old ones stay", problem=str(error))
            return str(error)
        follower = Follower(self._settings.logdirs, rules)
        follower.catch_up(share=CATCH_UP_SHARE, nice=CATCH_UP_NICENESS)
        self._metrics.start_over()
        self._follower = follower
        self._metrics.rules.set(len(rules.rules))
        self._metrics.reload_ok.set(1)
        self._log.info("rules reloaded", rules=len(rules.rules))
        self._publish(frozenset(follower.views))
        return None
