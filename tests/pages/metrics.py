"""The page of exported metrics, read from what a scrape of a made-up run answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families as parsed

from monitor.formats.layerstats import (
    ACT_NONFINITE,
    MODULE_STATS,
    PARAMETER_STATS,
    UPDATE_RATIO,
)
from monitor.own_metrics import OwnMetrics
from monitor.points import Layers
from monitor.sinks import prometheus
from monitor.sinks.prometheus import Exposition
from monitor.views import RunView
from tests.pages.markdown import MADE, table
from tests.toys import rule

_ABOUT = (
    "What `/metrics` answers, in the text format of Prometheus or of OpenMetrics, whichever is "
    "asked for. A run's series are gone with the run."
)
_BESIDE = (
    "Beside these there are `process_*`, those of every Prometheus client: CPU, memory, file "
    "descriptors."
)
_STATS = (*MODULE_STATS, ACT_NONFINITE, *PARAMETER_STATS, UPDATE_RATIO)
_LAYER = "training_layer_"
_OWN = "training_monitor_"


def families() -> Sequence[Metric]:
    """Everything that ``/metrics`` can hold of our own, each with at least one sample."""
    registry = CollectorRegistry()
    own = OwnMetrics(registry)
    # These have no sample until something has happened.
    own.notices.labels("slack", "ok")
    own.waiting.labels("slack")
    layers = {stat: (Layers(("0",), ("Linear",)), np.ones(1)) for stat in _STATS}
    view = RunView("run", 1, 1.0, False, (), {}, {"loss": 1.0}, layers, {})
    scrape = Exposition(registry, lambda: [view], lambda: [rule("Sick")], frozenset(_STATS))
    return list(parsed(scrape.answer("")[0].decode()))


def metrics_page() -> str:
    """The whole page."""
    found = families()
    layers = [f for f in found if f.name.startswith(_LAYER)]
    own = [f for f in found if f.name.startswith(_OWN)]
    runs = [f for f in found if f not in layers and f not in own]
    limits = (
        "`training_alert_active` is there from the first sight of a run, 0 or 1 for each rule.\n\n"
        f"At most {prometheus.MAX_RUNS:,} runs, {prometheus.SCALARS_PER_RUN} scalars a run and "
        f"{prometheus.MAX_SCALARS:,} in all, and {prometheus.MAX_LAYER_SERIES:,} series of layers "
        "are exported; what is left out is counted in `training_monitor_series_left_out`. Label "
        f"values are cut at {prometheus.LABEL_LENGTH} characters and stay distinct."
    )
    asked = (
        "Of the hook's stream, and only those that `MONITOR_LAYER_METRICS` names, for example "
        '`MONITOR_LAYER_METRICS="grad_norm update_ratio"`.'
    )
    parts = ["# Metrics", MADE, _ABOUT, "## Of runs", _table(runs), limits]
    parts += ["## Of layers", asked, _table(layers)]
    parts += ["## Of the monitor itself", _BESIDE, _table(own)]
    return "\n\n".join(parts) + "\n"


def _table(found: Sequence[Metric]) -> str:
    return table(("metric", "type", "labels", "meaning"), _rows(found))


def _rows(found: Sequence[Metric]) -> Iterator[tuple[str, str, str, str]]:
    for family in found:
        samples = [s for s in family.samples if not s.name.endswith("_created")]
        if not samples:  # the time at which a counter began, a family of its own in this format
            continue
        labels = [name for name in samples[0].labels if name != "le"]
        name = samples[0].name if family.type == "counter" else family.name
        listed = ", ".join(f"`{label}`" for label in labels)
        yield f"`{name}`", family.type, listed, family.documentation
