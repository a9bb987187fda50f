"""What every detector owes the engine, whatever it detects."""

from __future__ import annotations

import dataclasses
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.detectors import DETECTORS
from monitor.detectors.base import (
    Bounded,
    BoundedFold,
    CurveDetector,
    FoldDetector,
    PulseDetector,
    WindowDetector,
)
from monitor.points import Health, Pulse
from tests.detectors.following import first_bad, follow, healths, window_of
from tests.detectors.registry import (
    CHAIN,
    LAYERS,
    REQUIRED,
    bad_clock,
    bad_context,
    bad_series,
    default,
    odd_series,
    sees_layers,
    widened,
)

NAMES = sorted(DETECTORS)
VALUED = [name for name in NAMES if not isinstance(default(name), PulseDetector)]
WINDOWED = [name for name in NAMES if isinstance(default(name), WindowDetector)]
AT_ONCE = {
    "model_audit", "nonfinite", "vanishing_gradient", "threshold", "dead_units", "saturated_units",
    "bad_init", "bad_init_hidden_by_norm", "unnormalised_input", "rank_divergence",
}  # fmt: skip
"""Detectors that can call the very first points well: each is a judgement in itself."""


def run(name: str, series: Any, cuts: tuple[int, ...] = ()) -> Any:
    """Verdicts of the detector; what its bad series needs beside it is there for that one only."""
    detector = default(name)
    assert isinstance(detector, (WindowDetector, FoldDetector, CurveDetector))
    layered = isinstance(detector, WindowDetector) and sees_layers(detector)
    context, clock = bad_context(name), bad_clock(name)
    n = len(series)
    return follow(
        detector,
        widened(series, layered),
        context=context and {role: column[:n] for role, column in context.items()},
        layers=LAYERS.get(name, CHAIN) if layered else None,
        cuts=cuts,
        clock=None if clock is None else clock[:n],
    )


@pytest.mark.parametrize("name", NAMES)
def test_is_a_frozen_documented_dataclass_of_parameters(name: str) -> None:
    kind = DETECTORS[name]
    detector = default(name)
    assert detector.name == name
    assert dataclasses.is_dataclass(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        detector.name = "other"  # type: ignore[misc]
    assert hash(detector) == hash(default(name))
    assert detector == default(name)
    assert pickle.loads(pickle.dumps(detector)) == detector
    doc = kind.__doc__ or ""
    for word in ("Sees", "Defaults:", "Stays quiet:", "Source:"):
        assert word in doc, f"the docstring says nothing of {word}"
    assert isinstance(vars(kind)["default_match"], dict)
    for parameter in dataclasses.fields(kind):
        assert parameter.metadata["unit"] in {
            "steps", "points", "seconds", "ratio", "choice", "value", "expression",
        }  # fmt: skip
        assert parameter.metadata["doc"]
        required = parameter.name in REQUIRED.get(name, {})
        assert required or parameter.default is not dataclasses.MISSING
        assert f"``{parameter.name}``" in doc or f"``{parameter.name}:" in doc


@pytest.mark.parametrize("name", NAMES)
def test_refuses_senseless_parameters_by_name(name: str) -> None:
    senseless = {"choice": "no", "expression": "(", "value": math.nan}
    for parameter in dataclasses.fields(DETECTORS[name]):
        value = senseless.get(parameter.metadata["unit"], -1)
        with pytest.raises(ValueError, match=f"^{parameter.name}: "):
            DETECTORS[name](**{**REQUIRED.get(name, {}), parameter.name: value})


@pytest.mark.parametrize("name", VALUED)
def test_says_nothing_about_the_first_points(name: str) -> None:
    for n in (0, 1, 2, 3, 5):
        if name == "rank_divergence" and n >= 2:
            return  # copies that are so far apart are no copies: two looks are enough
        found = healths(run(name, np.linspace(2, 1, n)))
        assert not (found == Health.BAD).any()
        if name not in AT_ONCE:
            assert (found == Health.UNKNOWN).all()


@pytest.mark.parametrize("name", VALUED)
def test_speaks_up_in_a_sentence_with_numbers(name: str) -> None:
    bad = first_bad(run(name, bad_series()[name]))
    assert bad is not None
    evidence = bad.evidence
    assert evidence is not None
    assert "step" in evidence.seen
    assert re.search(r"\d", evidence.seen)
    assert "\n" not in evidence.seen
    if name != "nonfinite":
        assert not re.search(r"\bnan\b|\binf\b|None", evidence.seen)
        assert math.isfinite(evidence.value)
    # Without an onset it is the point from which on the verdicts were bad.
    assert 0 <= (evidence.onset_step or 0) <= bad.at


@pytest.mark.parametrize("name", VALUED)
def test_is_a_pure_function(name: str) -> None:
    series = bad_series()[name].copy()
    before = series.copy()
    series.setflags(write=False)
    first, second = run(name, series), run(name, series)
    assert [(v.at, v.health, v.evidence and v.evidence.seen) for v in first] == [
        (v.at, v.health, v.evidence and v.evidence.seen) for v in second
    ]
    np.testing.assert_array_equal(series, before)


@pytest.mark.parametrize("name", VALUED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_does_not_depend_on_how_the_points_were_cut(name: str, data: st.DataObject) -> None:
    series = bad_series()[name]
    if data.draw(st.booleans()):
        series = odd_series()["mixed"]
    cuts = data.draw(st.lists(st.integers(1, max(1, len(series) - 1)), max_size=12))
    whole, parts = run(name, series), run(name, series, tuple(cuts))
    assert [(v.at, v.health) for v in whole] == [(v.at, v.health) for v in parts]
    assert [v.evidence and v.evidence.seen for v in whole] == [
        v.evidence and v.evidence.seen for v in parts
    ]


@pytest.mark.parametrize("series", sorted(odd_series()))
@pytest.mark.parametrize("name", VALUED)
@pytest.mark.filterwarnings("error")
def test_survives_anything(name: str, series: str) -> None:
    verdicts = run(name, odd_series()[series])
    assert set(healths(verdicts).tolist()) <= {0, 1, 2}
    for verdict in verdicts:
        assert (verdict.evidence is not None) == (verdict.health is Health.BAD)


@pytest.mark.parametrize("name", VALUED)
@pytest.mark.parametrize("series", ["zeros", "constant", "nan", "negative", "mixed"])
def test_stays_quiet_where_nothing_is_wrong(name: str, series: str) -> None:
    if (name, series) in {("nonfinite", "nan"), ("nonfinite", "mixed"), ("threshold", "mixed")}:
        return  # infinity is beyond any bound
    if (name, series) == ("saturated_units", "constant"):
        return  # 70 % of the units at their bounds from the first step on
    if (name, series) == ("update_ratio", "constant"):
        return  # 70 % of each weight, at every step
    if name == "rank_divergence" and series in {"constant", "mixed"}:
        return  # ranks as far from the others as their weights are large, throughout
    if (name, series) == ("not_learning", "constant"):
        return  # a loss that never moves does not learn
    assert first_bad(run(name, odd_series()[series])) is None


@pytest.mark.parametrize("name", WINDOWED)
def test_verdicts_need_no_more_than_the_lookback(name: str) -> None:
    """What the engine keeps is enough: reading point by point changes nothing."""
    series = bad_series()[name][:500]
    each = tuple(range(1, len(series)))
    np.testing.assert_array_equal(healths(run(name, series)), healths(run(name, series, each)))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(VALUED)))
def test_listeners_are_quiet_about_what_they_cannot_know(name: str) -> None:
    detector = default(name)
    assert isinstance(detector, PulseDetector)
    for last in (math.nan, 0.0, 1e12, -1e12):
        pulse = Pulse("run", 0, 0, last, math.nan, math.nan, ended=False)
        assert detector.listen(pulse, 1e9).health is Health.UNKNOWN


FOLDS = {name for name in NAMES if isinstance(default(name), BoundedFold)}
BOUNDED = [name for name in NAMES if name in FOLDS or isinstance(default(name), Bounded)]
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.floats(0.5, 2.0)


@pytest.mark.parametrize("name", BOUNDED)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_values_that_are_never_bad_never_are(name: str, data: st.DataObject) -> None:
    detector: Any = default(name)
    if name == "exploding_gradient":
        detector = dataclasses.replace(detector, factor=3.0, points=30, memory=60)
    past = data.draw(st.lists(VALUES, min_size=1, max_size=120))
    if name in FOLDS:
        memory = detector.fold(detector.begin(), window_of(np.array(past))).memory
        ranges = detector.never_bad_after(memory)
    else:
        ranges = detector.never_bad
    assume(ranges)
    quiet = st.one_of([st.floats(low, high, allow_infinity=False) for low, high in ranges])
    # A level, and another that stays: what detectors wait for.
    levels = st.tuples(quiet, quiet).map(lambda two: [two[0]] * 40 + [two[1]] * 40)
    new = data.draw(levels | st.lists(quiet, min_size=1, max_size=60))
    found = healths(follow(detector, np.array([*past, *new]), cuts=(len(past),)))
    assert not (found[len(past) :] == Health.BAD).any()
