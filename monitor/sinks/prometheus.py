"""The runs as Prometheus metrics, written at each scrape from frozen views.

No series outlives its run, and nothing is locked. Samples carry no timestamps, so that Prometheus
can mark them stale.

The text is ours and not prometheus-client's, which takes 10 us for a sample: a thousand runs have
30,000 of them, and while they are written nothing is read. Here the lines of a run are kept until
the run changes, and the part before the number for as long as the run is there. The daemon's own
few metrics are left to prometheus-client.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from monitor.rules import Rule
from monitor.views import RunView

MAX_RUNS = 5000
SCALARS_PER_RUN = 100
MAX_SCALARS = 10_000
MAX_LAYER_SERIES = 10_000
LABEL_LENGTH = 200
FACTS = ("model", "optimizer", "device", "torch")
"""The facts about a run that become labels of ``training_run_info``."""

_ACTIVE, _FIRED = "training_alert_active", "training_alerts_fired_total"
_STEP, _LAST = "training_run_step", "training_run_last_event_timestamp_seconds"
_INFO, _SCALAR, _LAYER = "training_run_info", "training_scalar", "training_layer_"
_LEFT_OUT = "training_monitor_series_left_out"
_HELP = {
    _ACTIVE: "1 while the alert is firing, else 0.",
    _FIRED: "How often the alert has fired.",
    _STEP: "Step of the latest event.",
    _LAST: "When the latest event was written, in seconds since the epoch.",
    _INFO: "What is known of the run; always 1.",
    _SCALAR: "Latest value of a scalar.",
    _LEFT_OUT: "Series left out of this scrape because a limit was reached.",
}

Lines = Sequence[str]


@dataclass(slots=True)
class _Page:
    """What is said of one run, until there is a new view of it."""

    view: RunView
    rules: Sequence[Rule]
    heads: dict[tuple[str, ...], str]
    """Metric and label values -> what stands before the number."""
    lines: dict[str, list[str]] = field(default_factory=dict)
    """By metric."""

    def add(self, metric: str, names: Sequence[str], labels: Sequence[str], value: float) -> None:
        """A sample; ``names`` and values of its labels besides the run's."""
        key = (metric, *labels)
        head = self.heads.get(key)
        if head is None:
            every = [("run", self.view.run), *zip(names, labels, strict=True)]
            head = self.heads[key] = _head(metric, every)
        self.lines.setdefault(metric, []).append(head + _number(value))

    def layer(self, stat: str) -> Lines:
        """The lines of a layer statistic, which are many and so written only when asked for."""
        metric = layer_metric(stat)
        if metric not in self.lines:
            layers, values = self.view.layers[stat]
            for name, value in zip(layers.names, values.tolist(), strict=True):
                self.add(metric, ("layer",), (name,), value)
        return self.lines.get(metric, ())


class Exposition:
    """What ``/metrics`` answers; whatever passes a limit is left out and counted."""

    def __init__(
        self,
        registry: CollectorRegistry,
        views: Callable[[], Sequence[RunView]],
        rules: Callable[[], Sequence[Rule]],
        layer_stats: frozenset[str] = frozenset(),
    ) -> None:
        self._registry = registry
        """The daemon's own metrics."""
        self._views = views
        self._rules = rules
        self._layer_stats = layer_stats
        self._pages: dict[str, _Page] = {}

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Body and content type, in the format that the header ``Accept`` asks for.

        May be called by several threads: what they keep for each other is replaced as a whole.
        """
        encode, content_type = choose_encoder(accept)
        own = encode(self._registry)
        end = b"# EOF\n" if content_type.startswith("application/openmetrics-text") else b""
        body = "".join(self._text(openmetrics=bool(end))).encode()
        return own.removesuffix(end) + body + end, content_type

    def _text(self, openmetrics: bool) -> Iterator[str]:
        every, rules, before = self._views(), self._rules(), self._pages
        views = every[:MAX_RUNS]
        pages = [_page(before.get(view.run), view, rules) for view in views]
        self._pages = {page.view.run: page for page in pages}
        for metric in (_ACTIVE, _FIRED, _STEP, _LAST, _INFO):
            yield from _family(metric, (page.lines.get(metric, ()) for page in pages), openmetrics)
        scalars = [page.lines.get(_SCALAR, ()) for page in pages]
        yield from _family(_SCALAR, [islice(_all(scalars), MAX_SCALARS)], openmetrics)
        layers = self._layers(pages)
        for stat, of_runs in layers.items():
            yield from _family(layer_metric(stat), of_runs, openmetrics)
        left_out = Counter(run=len(every) - len(views))
        left_out["scalar"] = sum(len(v.scalars) for v in views)
        left_out["scalar"] -= min(MAX_SCALARS, sum(map(len, scalars)))
        for stat, of_runs in layers.items():
            there = sum(len(v.layers[stat][0].names) for v in views if stat in v.layers)
            left_out["layer"] += there - sum(map(len, of_runs))
        kinds = ("run", "scalar", "layer")
        lines = [_head(_LEFT_OUT, [("kind", kind)]) + _number(left_out[kind]) for kind in kinds]
        yield from _family(_LEFT_OUT, [lines], openmetrics)

    def _layers(self, pages: Sequence[_Page]) -> dict[str, list[Lines]]:
        """Per layer statistic the lines of each run, as far as there is room."""
        found: dict[str, list[Lines]] = {}
        room = MAX_LAYER_SERIES
        for page in pages:
            for stat in sorted(self._layer_stats & page.view.layers.keys()):
                lines = page.layer(stat)[:room] if room else ()
                found.setdefault(stat, []).append(lines)
                room -= len(lines)
        return found


def layer_metric(stat: str) -> str:
    """The metric's name for a layer statistic."""
    return _LAYER + re.sub(r"[^a-zA-Z0-9_]", "_", stat)


def label(text: str) -> str:
    """A label value of bounded length that encodes as UTF-8; distinct texts stay distinct."""
    clean = text.encode("utf-8", "replace").decode()
    if clean == text and len(text) <= LABEL_LENGTH:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean[: LABEL_LENGTH - 9]}~{digest}"


def _page(before: _Page | None, view: RunView, rules: Sequence[Rule]) -> _Page:
    """The run's page; the one ``before`` if nothing has changed since."""
    if before is not None and before.view is view and before.rules is rules:
        return before
    page = _Page(view, rules, {} if before is None else before.heads)
    count = Counter(alert.rule.alert for alert in view.alerts) + Counter(view.forgotten)
    firing = {alert.rule.alert for alert in view.alerts if alert.active}
    for rule in rules:
        labels = rule.alert, rule.severity.label
        page.add(_ACTIVE, ("alert", "severity"), labels, float(rule.alert in firing))
        page.add(_FIRED, ("alert", "severity"), labels, float(count[rule.alert]))
    page.add(_STEP, (), (), float(view.last_step))
    page.add(_LAST, (), (), view.last_event)
    page.add(_INFO, FACTS, [view.facts.get(fact, "") for fact in FACTS], 1.0)
    for tag, value in islice(view.scalars.items(), SCALARS_PER_RUN):
        page.add(_SCALAR, ("tag",), (tag,), value)
    return page


def _all(found: Iterable[Lines]) -> Iterator[str]:
    return chain.from_iterable(found)


def _family(metric: str, found: Iterable[Iterable[str]], openmetrics: bool) -> Iterator[str]:
    """Its head and its lines. OpenMetrics names a counter's family without the ``_total``."""
    kind = "counter" if metric.endswith("_total") else "gauge"
    name = metric.removesuffix("_total") if openmetrics else metric
    about = _HELP.get(metric) or f"Latest {metric.removeprefix(_LAYER)} of a layer."
    yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
    for lines in found:
        yield from lines


def _head(metric: str, labels: Iterable[tuple[str, str]]) -> str:
    """``metric{name="value",...} ``, the names in alphabetical order."""
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels))
    return f"{metric}{{{written}}} "


def _escaped(value: str) -> str:
    return label(value).translate(_ESCAPES)


_ESCAPES: Mapping[int, str] = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def _number(value: float) -> str:
    """With the line's end."""
    if math.isfinite(value):
        return f"{value!r}\n"
    return "NaN\n" if math.isnan(value) else "+Inf\n" if value > 0 else "-Inf\n"
