"""``monitor watch``: the only loop and the only clock.

Everything that happens, happens in :meth:`Daemon.run`: read what is new, let the liveness
detectors listen, tell what is news. The HTTP thread looks at frozen views and can ask for two
things, a reload and an end.
"""

from __future__ import annotations

import gc
import platform
import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from monitor import __version__
from monitor.follower import Follower
from monitor.notices import AlertDocument, Notice, document, news
from monitor.rules import RuleSet, RulesInvalid, load
from monitor.sinks.log import Logger
from monitor.sinks.prometheus import Exposition
from monitor.sources.scan import Root
from monitor.sources.wake import COALESCE_SECONDS, Waker
from monitor.views import RunView
from monitor.web import Door

CALM_SECONDS = 5.0
"""Without a hint and without news for so long, hints are asked for again."""
STAT_SECONDS = 1.0
"""Known files are checked this often, hint or no hint: network file systems give none."""
RESCAN_SECONDS = 10.0
"""Directories are walked this often for new files; sooner when a hint says that one has come or
gone, but not within ``RESCAN_AT_MOST`` seconds, nor for more than a tenth of the time."""
RESCAN_AT_MOST = 0.25
RESCAN_PAUSES = 10
LISTEN_SECONDS = 10.0
"""Silence is listened to this often: it counts from minutes on."""
READING_PAUSES = 40
SHORT_PAUSE_SECONDS = 0.04
LONG_PAUSE_SECONDS = 0.15
"""After a pass the daemon rests for forty times as long as it took, up to the short pause; and at
least for as long as it took, up to the long one. It sits beside expensive work: one busy run is
read 25 times a second, a thousand of them less often, and more of each at once."""
CATCH_UP_SHARE, CATCH_UP_NICENESS = 0.5, 10
"""Of the cores, when there is much to read at the start: the training has precedence."""
RELOAD_TIMEOUT_SECONDS = 120.0


class Sink(Protocol):
    """Takes notices; raises nothing."""

    @property
    def name(self) -> str: ...

    def publish(self, notice: Notice) -> None: ...


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


class _OwnMetrics:
    """The daemon's metrics about itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"training_monitor_{name}", text, registry=registry)

        self.ready = gauge("ready", "1 once everything that was there has been read.")
        self.lag = gauge("lag_seconds", "Age of the newest event when it was evaluated.")
        self.files = gauge("files", "Event files known.")
        self.runs = gauge("runs", "Runs known.")
        self.unreadable = gauge("unreadable_paths", "Files and directories that cannot be read.")
        self.rules = gauge("rules_loaded", "Rules in force.")
        self.failing = gauge("failing_rules", "Rules whose detector has failed.")
        self.reload_ok = gauge(
            "last_reload_successful", "Whether the last attempt to load the rules succeeded."
        )
        self.evaluation = Histogram(
            "training_monitor_evaluation_seconds",
            "Time from the start of a read to its evaluated end.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
            registry=registry,
        )
        self.notices = Counter(
            "training_monitor_notifications",
            "Notices handed to sinks.",
            ["sink", "outcome"],
            registry=registry,
        )
        self._counters = {
            name: Counter(f"training_monitor_{name}", text, registry=registry)
            for name, text in {
                "records": "Records read.",
                "bytes": "Bytes read.",
                "corrupt_records": "Corrupt stretches skipped by resynchronising.",
                "unusable_events": "Intact records that hold no valid event.",
                "rewrites": "Files found truncated or replaced.",
            }.items()
        }
        self._seen = dict.fromkeys(self._counters, 0)
        build = Gauge(
            "training_monitor_build_info",
            "Version of the monitor; always 1.",
            ["version", "python"],
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)

    def follow(self, follower: Follower) -> None:
        """Brings the counters up to what the follower has read."""
        for name, counter in self._counters.items():
            total = int(getattr(follower.dirs.stats, name))
            counter.inc(max(0, total - self._seen[name]))
            self._seen[name] = total
        self.files.set(follower.dirs.files)
        self.runs.set(len(follower.views))
        self.unreadable.set(len(follower.dirs.problems))
        self.failing.set(len(follower.engine.failures))

    def start_over(self) -> None:
        """A new follower reads everything again: its counters begin at 0."""
        self._seen = dict.fromkeys(self._counters, 0)


def _pause(busy: float) -> float:
    """How long to rest after a pass that took ``busy`` seconds."""
    short = min(READING_PAUSES * busy, SHORT_PAUSE_SECONDS)
    return max(COALESCE_SECONDS, short, min(busy, LONG_PAUSE_SECONDS))


class Daemon:
    """Follows log directories until told to stop."""

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        log: Logger,
        sinks: Sequence[Sink],
        screen: Screen,
    ) -> None:
        self._settings = settings
        self._log = log
        self._sinks = sinks
        self._screen = screen
        self._follower = Follower(settings.logdirs, rules)
        self._told: dict[str, RunView] = {}
        self._problems: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._ready = False
        self._stopping = False
        self._reloads: queue.SimpleQueue[Future[str | None]] = queue.SimpleQueue()
        self._wake: Callable[[], None] = lambda: None
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._metrics = _OwnMetrics(registry)
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
        return Door(self._exposition.answer, lambda: self._ready, self.documents, self.reload)

    def documents(self) -> list[AlertDocument]:
        """All alerts as JSON documents."""
        return [document(alert) for alert in self._follower.alerts()]

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
            self._publish(frozenset(self._follower.views))
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
            self._follow(waker)
        self._log.info("stopped")

    def _follow(self, waker: Waker) -> None:
        scan_from = scan_by = listened = checked = heard = busy = 0.0
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
                scan_by = now + RESCAN_SECONDS
                cost = time.monotonic() - now
                scan_from = now + max(RESCAN_AT_MOST, RESCAN_PAUSES * cost)
            changed = self._read()
            if now - listened >= LISTEN_SECONDS:
                changed |= self._follower.tick(time.time())
                listened = now
            self._publish(changed)
            if changed:
                heard = now
            elif now - heard >= CALM_SECONDS:
                waker.calm()
            if now - checked >= STAT_SECONDS:
                self._report_problems()
                checked = now
            busy += time.monotonic() - now

    def _read(self) -> frozenset[str]:
        """One pass: of each file that has grown, a piece, so that none keeps others waiting."""
        started = time.perf_counter()
        changed = self._follower.read()
        if changed:
            self._metrics.evaluation.observe(time.perf_counter() - started)
            newest = max(self._follower.views[run].last_event for run in changed)
            self._metrics.lag.set(max(0.0, time.time() - newest))
        return changed

    def _publish(self, changed: frozenset[str]) -> None:
        """Tells the sinks and the screen what is news of the runs that have changed."""
        for run in changed:
            view, told = self._follower.views[run], self._told.get(run)
            if told is None:
                self._log.info("run found", run=run, step=view.last_step)
            for notice in news(told.alerts if told else (), view.alerts):
                if not self._ready and not notice.alert.active:
                    continue  # History: it was over before anybody was listening.
                for sink in self._sinks:
                    sink.publish(notice)
                    self._metrics.notices.labels(sink.name, "ok").inc()
            self._told[run] = view
        self._metrics.follow(self._follower)
        self._screen.show(list(self._follower.views.values()))

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

    def _forget(self, runs: frozenset[str]) -> None:
        for run in runs:
            self._told.pop(run, None)
            self._log.info("run gone", run=run)

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
