"""Rings and curves: bounded, exact, and blind to how the points were cut."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bins import MAX_BINS
from monitor.points import Curve, Floats, SeriesKey
from monitor.series import (
    EVERY_POINT_UNTIL,
    CurveBuilder,
    Ring,
    Stretch,
    restarts,
)
from tests.toys import scalar_points

KEY = SeriesKey("run", "loss")
ROWS = ("steps", "wall_times", "mean", "low", "high", "spread", "roughness", "head")


def stretch(values: Floats, begin: int = 0) -> Stretch:
    steps = list(range(begin, begin + len(values)))
    return Stretch(scalar_points(values, steps=steps), {})


def curves(values: Floats, cuts: list[int]) -> list[tuple[int, Curve]]:
    """(points so far, curve) at each judgement."""
    builder = CurveBuilder(KEY, 0)
    edges = [0, *sorted({c for c in cuts if 0 < c < len(values)}), len(values)]
    return [
        (a + i + 1, curve)
        for a, b in itertools.pairwise(edges)
        for i, curve in builder.append(stretch(values[a:b], a))
    ]


def test_a_curve_is_judged_at_every_early_point_and_then_rarely() -> None:
    at = [count for count, _ in curves(np.ones(1000), [])]
    assert at[:EVERY_POINT_UNTIL] == list(range(1, EVERY_POINT_UNTIL + 1))
    assert len(at) < EVERY_POINT_UNTIL + 16 + 48 + 2 * 32 + 1
    assert at[-1] > 900


@pytest.mark.parametrize("n", [1, 63, 64, 65, 255, 256, 257, 511, 512, 2048, 5000])
def test_bins_equal_statistics_of_the_points(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(1e6, 1.0, n)  # a large offset: naive sums of squares would cancel
    values[rng.random(n) < 0.1] = np.nan
    count, curve = curves(values, [])[-1]
    assert curve.count == count == len(curve.mean) * curve.per_bin
    assert len(curve.mean) <= MAX_BINS
    rows = values[:count].reshape(-1, curve.per_bin)
    jumps = np.diff(values[:count], prepend=np.nan).reshape(-1, curve.per_bin)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's word for an empty bin
        np.testing.assert_allclose(curve.mean, np.nanmean(rows, axis=1))
        np.testing.assert_allclose(curve.spread, np.nanstd(rows, axis=1), atol=1e-6)
        np.testing.assert_array_equal(curve.low, np.nanmin(rows, axis=1))
        np.testing.assert_array_equal(curve.high, np.nanmax(rows, axis=1))
        rough = np.sqrt(np.nanmean(jumps * jumps, axis=1))
        np.testing.assert_allclose(curve.roughness, rough, rtol=1e-9)
    np.testing.assert_array_equal(curve.head, values[: min(count, 16)])
    np.testing.assert_array_equal(curve.steps, np.arange(count)[curve.per_bin - 1 :: curve.per_bin])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 1500), st.lists(st.integers(1, 1499), max_size=8), st.integers(0, 9))
def test_a_curve_does_not_depend_on_the_cuts(n: int, cuts: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n)
    values[:: 1 + seed * 7] = np.inf
    whole, cut = curves(values, []), curves(values, cuts)
    assert [count for count, _ in whole] == [count for count, _ in cut]
    for (_, a), (_, b) in zip(whole, cut, strict=True):
        for row in ROWS:
            np.testing.assert_array_equal(getattr(a, row), getattr(b, row), err_msg=row)


def test_a_ring_keeps_what_a_detector_looks_back_on() -> None:
    ring = Ring(keep=20)
    for begin in range(0, 100, 10):
        joined = ring.append(stretch(np.arange(begin, begin + 10.0), begin))
        window = ring.window(joined, new=10, lookback=15)
    assert window.new == 10
    assert window.index == 100 - len(window.steps) == 76
    np.testing.assert_array_equal(window.values, np.arange(76.0, 100.0))
    assert window.first_step == 0


def test_a_window_ends_where_it_is_told() -> None:
    ring = Ring(keep=20)
    joined = ring.append(stretch(np.arange(30.0)))
    window = ring.window(joined, new=30, lookback=5).upto(12, lookback=5)
    np.testing.assert_array_equal(window.steps, [8, 9, 10, 11, 12])
    assert (window.index, window.new) == (8, 1)


@pytest.mark.parametrize(
    ("before", "steps", "expected"),
    [
        ([], [0, 1, 2], []),
        ([], [0, 1, 2, 0, 1], []),  # not below the lowest of the points before it
        ([5, 6, 7], [0, 1], [0]),
        (list(range(20)), [20, 3, 4], [1]),
        (list(range(20)), [18, 21, 19], []),  # threads: slightly out of order
        ([], [5, 6, 5, 6, 1, 2, 0], [4, 6]),
    ],
)
def test_restarts(before: list[int], steps: list[int], expected: list[int]) -> None:
    found = restarts(np.array(before, dtype=np.int64), np.array(steps, dtype=np.int64))
    assert found.tolist() == expected
