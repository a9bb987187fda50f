"""What expressions mean: by hand, against a slow reading in plain Python, and however cut."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detectors.expression import Expression, columns
from monitor.detectors.expression.parse import parse
from monitor.detectors.expression.tree import Binary, Node, write
from monitor.points import Floats, Health, Window
from tests.detectors.expression.strategies import conditions
from tests.detectors.following import follow, healths, points_of

NAN, INF = float("nan"), float("inf")


def letters(expr: str, *values: float, steps: list[int] | None = None, **context: Floats) -> str:
    at = None if steps is None else np.array(steps, np.int64)
    found = healths(follow(Expression(expr), np.array(values, float), at, context))
    return "".join({0: "?", 1: ".", 2: "x"}[int(h)] for h in found)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("value > 3", "...xx?x."),
        ("value >= 3", "..xxx?x."),
        ("value == 2 or value != value", ".x...?.."),
        ("not value > 3", "xxx..?.x"),
        ("1 / (value - 2) > 0", ".?xxx?.."),
        ("log(value - 2) > 0", "??.xx?x?"),
        ("abs(-value) > 3", "...xx?xx"),
        ("sqrt(value) == 2", "...x.?.?"),
        ("exp(value) < 8", "xx...?.x"),
        ("value > 3 and step > 3", "....x?x."),
        ("value > 3 or step >= 5", "...xxxxx"),
        ("max(value) > 3", "...xxxxx"),
        ("min(value) < 0", ".......x"),
        ("first(value) == 1", "xxxxxxxx"),
        ("last(value) == 5", "....xx.."),
        ("mean(value) > 2", "...xxxx?"),
        ("count(value > 3) == 2", "....xx.."),
        ("min(value, 3) == 3", "??..x..."),
        ("max(value, 3 points) == 5", "??..xx.."),
        ("mean(value, 2) == 3.5", "?..x...?"),
        ("median(value, 3) == 3", "??.x...?"),
        ("first(value, 3) == 3", "??..x..."),
        ("last(value, 2) == 5", "?...xx.."),
        ("delta(value, 2) == 1", "?xxxx.?."),
        ("slope(value, 3) == 1", "??xxxx??"),
        ("std(value, 2) == 0.5", "?xxxx.??"),
        ("quantile(value, 1, 2) == 5", "?...xx.."),
        ("count(value > 3, 3) == 2", "??..xxx."),
    ],
)
def test_one_by_one(expr: str, expected: str) -> None:
    assert letters(expr, 1, 2, 3, 4, 5, NAN, INF, -INF) == expected


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        # Kleene's logic, whichever side is unknown: 1 is true, -1 false, NaN unknown.
        ("value > 0 and train_loss > 0", "x.?...?.?"),
        ("value > 0 or train_loss > 0", "xxxx.?x??"),
        ("not (value > 0 and train_loss > 0)", ".x?xxx?x?"),
    ],
)
def test_unknown_decides_nothing(expr: str, expected: str) -> None:
    a = (1, 1, 1, -1, -1, -1, NAN, NAN, NAN)
    b = np.array([1, -1, NAN, 1, -1, NAN, 1, -1, NAN])
    assert letters(expr, *a, train_loss=b) == expected


def test_windows_in_steps_hold_what_is_not_older() -> None:
    steps = [0, 10, 20, 30, 40, 100, 101]
    assert letters("max(value, 25) == 9", 9, 1, 1, 9, 1, 1, 1, steps=steps) == "???xx.."
    # In points it does not matter how far apart they are.
    assert letters("max(value, 3 points) == 9", 9, 1, 1, 9, 1, 1, 1, steps=steps) == "??xxxx."
    assert letters("slope(value, 21) == 0.1", 0, 1, 2, 3, 4, 5, 6, steps=steps) == "??xxx?."


def test_a_window_half_of_which_is_unknown_is_unknown() -> None:
    assert letters("max(value, 4 points) > 0", 1, 1, NAN, NAN, NAN, 1, 1) == "???x?.x".replace(
        ".", "?"
    )


def test_other_series_are_looked_up_by_role_or_tag() -> None:
    rate = np.array([NAN, 0.1, 0.1, 0.01])
    assert letters("value > 0 and learning_rate < 0.05", 1, 1, 1, 1, learning_rate=rate) == "?..x"
    found = follow(
        Expression('value > 0 and tag("opt/lr") < 0.05'), np.ones(4), None, {"tag:opt/lr": rate}
    )
    assert healths(found).tolist() == [Health.UNKNOWN, Health.OK, Health.OK, Health.BAD]


SLOW: dict[str, Callable[[list[float]], float]] = {
    "median": statistics.median,
    "mean": statistics.fmean,
    "min": min,
    "max": max,
    "std": statistics.pstdev,
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "delta": lambda rows: rows[-1] - rows[0],
}
VALUES = st.lists(st.one_of(st.integers(-50, 50).map(float), st.just(NAN)), min_size=1, max_size=60)


@pytest.mark.parametrize("function", sorted(SLOW))
@given(values=VALUES, width=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_windows_against_a_slow_reading(function: str, values: list[float], width: int) -> None:
    expected = []
    for i in range(len(values)):
        rows = [v for v in values[max(0, i + 1 - width) : i + 1] if not math.isnan(v)]
        enough = i + 1 >= width and 2 * len(rows) >= width
        expected.append(SLOW[function](rows) if enough else NAN)
    np.testing.assert_allclose(column(f"{function}(value, {width})", values), expected)


@pytest.mark.parametrize("function", ["mean", "min", "max", "first", "last"])
@given(values=VALUES)
@settings(max_examples=60, deadline=None)
def test_the_attempt_so_far_against_a_slow_reading(function: str, values: list[float]) -> None:
    expected = []
    for i in range(len(values)):
        rows = [v for v in values[: i + 1] if not math.isnan(v)]
        expected.append(SLOW[function](rows) if rows else NAN)
    np.testing.assert_allclose(column(f"{function}(value)", values), expected)


@given(VALUES, st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_slopes_are_those_of_polyfit(values: list[float], width: int) -> None:
    found = column(f"slope(value, {width})", values)
    for i, slope in enumerate(found):
        rows = np.array(values[max(0, i + 1 - width) : i + 1])
        known = np.flatnonzero(~np.isnan(rows))
        if i + 1 < width or len(known) < max(2, width / 2):
            assert math.isnan(slope)
        else:
            expected = np.polynomial.Polynomial.fit(known, rows[known], 1).convert().coef
            assert slope == pytest.approx(expected[1] if len(expected) > 1 else 0.0, abs=1e-9)


def column(number: str, values: list[float]) -> Floats:
    """What a number is at each point, told by the evidence of a condition that always holds."""
    detector = Expression(f"{number} > -1e300")
    n = len(values)
    points = points_of(np.array(values, float))
    window = Window(points.key, 0, n, 0, points.steps, points.wall_times, points.values)
    found: Floats = detector.fold(detector.begin(), window).seen[0]
    return found


SERIES = st.lists(
    st.one_of(
        st.floats(-1e3, 1e3), st.sampled_from([0.0, 0.1, 1.0, NAN, INF, -INF, 1e300, 5e-324])
    ),
    min_size=1,
    max_size=40,
)


@given(conditions(), SERIES, st.data())
@settings(max_examples=300, deadline=None)
def test_cuts_change_nothing_whatever_the_expression(
    tree: Node, values: list[float], data: st.DataObject
) -> None:
    detector = Expression(write(Binary("and", tree, parse("value == value or 1 == 1"))))
    n = len(values)
    gaps = data.draw(st.lists(st.sampled_from([0, 1, 1, 5]), min_size=n, max_size=n))
    steps = np.cumsum(gaps)
    other = np.array(data.draw(st.permutations(values)), float)
    context = {"train_loss": other, "tag:a/b c": -other, 'tag:"q"': other / 2}
    known = {name: context[name] for name in detector.context}
    cuts = data.draw(st.lists(st.integers(1, 40), max_size=8))
    with np.errstate(all="ignore"):
        whole = follow(detector, np.array(values, float), steps, known)
        parts = follow(detector, np.array(values, float), steps, known, cuts=tuple(cuts))
    assert whole == parts
    for verdict in whole:
        assert verdict.evidence is None or verdict.evidence.seen.startswith("at step ")


def test_long_reads_are_computed_in_blocks_of_the_same_numbers() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=3000)
    assert 5 * columns.MOST_CELLS < 3000 * 1000
    text = "mean(value, 1000) > 0 and std(value, 999 points) > 1"
    whole, parts = (
        healths(follow(Expression(text), values, cuts=cuts)) for cuts in ((), (5, 300, 301))
    )
    np.testing.assert_array_equal(whole, parts)
    assert {int(h) for h in whole} == {Health.UNKNOWN, Health.OK, Health.BAD}
