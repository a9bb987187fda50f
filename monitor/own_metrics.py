"""The daemon's metrics about itself."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor import __version__
from monitor.follower import Follower


class OwnMetrics:
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
        self.waiting = Gauge(
            "training_monitor_notifications_waiting",
            "Notices that a sink has not taken yet.",
            ["sink"],
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
