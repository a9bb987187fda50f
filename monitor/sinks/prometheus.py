"""The runs as Prometheus metrics, computed at each scrape from frozen views.

A custom collector rather than gauges set by hand: no series outlives its run, and nothing is
locked. Samples carry no timestamps, so that Prometheus can mark them stale.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from monitor.rules import Rule
from monitor.views import RunView

MAX_RUNS = 5000
SCALARS_PER_RUN = 100
MAX_SCALARS = 10_000
MAX_LAYER_SERIES = 2000
LABEL_LENGTH = 200
FACTS = ("model", "optimizer", "device", "torch")
"""The facts about a run that become labels of ``training_run_info``."""


class RunCollector(Collector):
    """Exports every run; what passes a limit is left out and counted."""

    def __init__(
        self,
        views: Callable[[], Sequence[RunView]],
        rules: Callable[[], Sequence[Rule]],
        layer_stats: frozenset[str] = frozenset(),
    ) -> None:
        self._views = views
        self._rules = rules
        self._layer_stats = layer_stats

    def describe(self) -> Iterable[Metric]:
        """Nothing is said ahead: the families depend on the runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for every scrape."""
        every = self._views()
        views = every[:MAX_RUNS]
        dropped = Counter({"run": len(every) - len(views)})
        yield from _alerts(views, self._rules())
        yield from _runs(views)
        yield _scalars(views, dropped)
        yield from _layers(views, self._layer_stats, dropped)
        family = GaugeMetricFamily(
            "training_monitor_series_left_out",
            "Series left out of this scrape because a limit was reached.",
            labels=["kind"],
        )
        for kind in ("run", "scalar", "layer"):
            family.add_metric([kind], dropped[kind])
        yield family


def label(text: str) -> str:
    """A label value of bounded length that encodes as UTF-8; distinct texts stay distinct."""
    clean = text.encode("utf-8", "replace").decode()
    if clean == text and len(text) <= LABEL_LENGTH:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean[: LABEL_LENGTH - 9]}~{digest}"


def _alerts(views: Sequence[RunView], rules: Sequence[Rule]) -> Iterator[Metric]:
    names = ["run", "alert", "severity"]
    active = GaugeMetricFamily(
        "training_alert_active", "1 while the alert is firing, else 0.", labels=names
    )
    fired = CounterMetricFamily(
        "training_alerts_fired", "How often the alert has fired.", labels=names
    )
    for view in views:
        run = label(view.run)
        count = Counter(alert.rule.alert for alert in view.alerts) + Counter(view.forgotten)
        firing = {alert.rule.alert for alert in view.alerts if alert.active}
        for rule in rules:
            values = [run, rule.alert, rule.severity.label]
            active.add_metric(values, float(rule.alert in firing))
            fired.add_metric(values, count[rule.alert])
    yield active
    yield fired


def _runs(views: Sequence[RunView]) -> Iterator[Metric]:
    step = GaugeMetricFamily("training_run_step", "Step of the latest event.", labels=["run"])
    last = GaugeMetricFamily(
        "training_run_last_event_timestamp_seconds",
        "When the latest event was written, in seconds since the epoch.",
        labels=["run"],
    )
    info = GaugeMetricFamily(
        "training_run_info", "What is known of the run; always 1.", labels=["run", *FACTS]
    )
    for view in views:
        run = label(view.run)
        step.add_metric([run], view.last_step)
        last.add_metric([run], view.last_event)
        info.add_metric([run, *(label(view.facts.get(fact, "")) for fact in FACTS)], 1)
    yield step
    yield last
    yield info


def _scalars(views: Sequence[RunView], dropped: Counter[str]) -> Metric:
    family = GaugeMetricFamily(
        "training_scalar", "Latest value of a scalar.", labels=["run", "tag"]
    )
    room = MAX_SCALARS
    for view in views:
        take = min(SCALARS_PER_RUN, room, len(view.scalars))
        dropped["scalar"] += len(view.scalars) - take
        room -= take
        run = label(view.run)
        for tag in list(view.scalars)[:take]:
            family.add_metric([run, label(tag)], view.scalars[tag])
    return family


def _layers(
    views: Sequence[RunView], wanted: frozenset[str], dropped: Counter[str]
) -> Iterator[Metric]:
    room = MAX_LAYER_SERIES
    families: dict[str, GaugeMetricFamily] = {}
    for view in views:
        for stat in sorted(wanted & view.layers.keys()):
            layers, values = view.layers[stat]
            family = families.setdefault(stat, _layer_family(stat))
            take = min(room, len(layers.names))
            dropped["layer"] += len(layers.names) - take
            room -= take
            run = label(view.run)
            for name, value in zip(layers.names[:take], values[:take], strict=True):
                family.add_metric([run, label(name)], float(value))
    yield from families.values()


def _layer_family(stat: str) -> GaugeMetricFamily:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", stat)
    return GaugeMetricFamily(
        f"training_layer_{name}", f"Latest {stat} of a layer.", labels=["run", "layer"]
    )
