"""What a scrape shows."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
from prometheus_client.parser import text_string_to_metric_families as parsed

from monitor.engine import Engine
from monitor.points import LAYER_PREFIX, Layers, Points, SeriesKey
from monitor.rules import Rule
from monitor.sinks import prometheus
from monitor.sinks.prometheus import LABEL_LENGTH, Exposition, label
from monitor.views import RunView
from tests.toys import batch, rule, rule_set, scalar_points

RULES = (rule("Sick"), rule("Quiet"))


def views(*runs: str, values: Sequence[float] = (1.0,), tag: str = "loss") -> list[RunView]:
    engine = Engine(rule_set(RULES[0]))
    for run in runs:
        engine.feed(batch(scalar_points(values, run=run, tag=tag)))
    return [engine.view(run) for run in runs]


def exposed(
    shown: Sequence[RunView], rules: Sequence[Rule] = RULES, layers: frozenset[str] = frozenset()
) -> str:
    body, _ = Exposition(CollectorRegistry(), lambda: shown, lambda: rules, layers).answer("")
    return body.decode()


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, labels written out) -> value."""
    return {
        (s.name, ",".join(f"{k}={v}" for k, v in sorted(s.labels.items()))): s.value
        for family in parsed(text)
        for s in family.samples
    }


def test_every_rule_has_a_series_for_every_run_from_the_first_sight() -> None:
    found = samples(exposed(views("a", "b")))
    for run in ("a", "b"):
        assert found["training_alert_active", f"alert=Sick,run={run},severity=warning"] == 1
        assert found["training_alert_active", f"alert=Quiet,run={run},severity=warning"] == 0
        assert found["training_alerts_fired_total", f"alert=Sick,run={run},severity=warning"] == 1
        assert found["training_run_step", f"run={run}"] == 0


def test_openmetrics_on_request_says_the_same() -> None:
    shown = views('a"b\\c\nd', "b", values=[1e300])
    exposition = Exposition(CollectorRegistry(), lambda: shown, lambda: RULES)
    body, content_type = exposition.answer("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    strict = [
        s
        for family in strictly(body.decode())  # type: ignore[no-untyped-call]
        for s in family.samples
    ]
    plain = [s for family in parsed(exposed(shown)) for s in family.samples]
    assert [(s.name, s.labels, s.value) for s in strict] == [
        (s.name, s.labels, s.value) for s in plain
    ]


def test_what_is_kept_of_a_run_is_written_anew_when_it_has_changed() -> None:
    shown, rules = views("a", "b"), list[Sequence[Rule]]([RULES])
    exposition = Exposition(CollectorRegistry(), lambda: shown, lambda: rules[0])
    for _ in range(2):
        assert exposition.answer("")[0].decode() == exposed(shown)
    shown[0] = views("a", values=[1.0, -1.0])[0]
    assert exposition.answer("")[0].decode() == exposed(shown)
    rules[0] = RULES[:1]
    assert exposition.answer("")[0].decode() == exposed(shown, RULES[:1])
    del shown[0]
    assert exposition.answer("")[0].decode() == exposed(shown, RULES[:1])


@given(st.floats(), st.text(max_size=20))
def test_any_number_and_any_tag_can_be_read_back(value: float, tag: str) -> None:
    (view,) = views("a", values=[value], tag=tag)
    (family,) = (f for f in parsed(exposed([view])) if f.name == "training_scalar")
    (sample,) = family.samples
    assert sample.labels == {"run": "a", "tag": label(tag)}
    assert sample.value == value or (math.isnan(sample.value) and math.isnan(value))


def test_a_resolved_alert_stays_as_zero() -> None:
    found = samples(exposed(views("a", values=[1.0, -1.0])))
    assert found["training_alert_active", "alert=Sick,run=a,severity=warning"] == 0
    assert found["training_alerts_fired_total", "alert=Sick,run=a,severity=warning"] == 1


def test_the_latest_value_of_a_scalar_is_shown_even_if_it_is_nan() -> None:
    assert 'training_scalar{run="a",tag="loss"} NaN' in exposed(views("a", values=[1.0, np.nan]))


def test_hostile_names_are_escaped_and_bounded() -> None:
    hostile = 'a"b\\c\nd<script>{} \ud800'
    text = exposed(views(hostile, "x" * 5000))
    labels = {s.labels["run"] for f in parsed(text) for s in f.samples if "run" in s.labels}
    assert len(labels) == 2
    assert all(len(found) <= LABEL_LENGTH for found in labels)


def test_long_labels_that_differ_at_their_end_stay_apart() -> None:
    assert label("x" * 500 + "a") != label("x" * 500 + "b")
    assert label("short") == "short"


def test_limits_hold_and_what_passes_them_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MAX_RUNS", 2)
    monkeypatch.setattr(prometheus, "MAX_SCALARS", 1)
    found = samples(exposed(views("a", "b", "c")))
    assert ("training_run_step", "run=c") not in found
    assert found["training_monitor_series_left_out", "kind=run"] == 1
    assert found["training_monitor_series_left_out", "kind=scalar"] == 1


def test_layer_statistics_are_exported_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = Layers(("fc1.weight", "fc2.weight"), ("Linear", "Linear"))
    points = Points(
        SeriesKey("a", LAYER_PREFIX + "grad_norm"),
        "w",
        np.array([1]),
        np.array([1.0]),
        np.array([1.0]),
        np.array([[0.5, 0.25]]),
        layers,
    )
    engine = Engine(rule_set())
    engine.feed(batch(points))
    shown = [engine.view("a")]
    assert "training_layer" not in exposed(shown)
    found = samples(exposed(shown, layers=frozenset({"grad_norm"})))
    assert found["training_layer_grad_norm", "layer=fc2.weight,run=a"] == 0.25
    monkeypatch.setattr(prometheus, "MAX_LAYER_SERIES", 3)
    found = samples(exposed([*shown, replace(shown[0], run="b")], layers=frozenset({"grad_norm"})))
    assert ("training_layer_grad_norm", "layer=fc1.weight,run=b") in found
    assert ("training_layer_grad_norm", "layer=fc2.weight,run=b") not in found
    assert found["training_monitor_series_left_out", "kind=layer"] == 1


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_mend() -> None:
    text = exposed(views("a", "b"), layers=frozenset({"grad_norm"}))
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
