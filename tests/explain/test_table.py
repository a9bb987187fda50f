"""The numbers that a detector saw."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.detectors.divergence import Divergence
from monitor.detectors.nonfinite import NonFinite
from monitor.detectors.threshold import Threshold
from monitor.explain.table import AFTER, LEAST_POINTS, MOST_ROWS, rows, window


@given(st.integers(1, 500), st.data())
def test_every_point_is_in_one_row(n: int, data: st.DataObject) -> None:
    fired = data.draw(st.integers(0, n - 1))
    begin = data.draw(st.integers(0, fired))
    values = np.arange(n, dtype=float)
    found = rows(np.arange(n), values, begin, fired, (10 * values,))
    before = [row for row in found if row.last_step <= fired]
    assert len(before) <= MOST_ROWS
    assert sum(row.points for row in before) == fired + 1 - begin
    assert [row.fired for row in before] == [False] * (len(before) - 1) + [True]
    assert sum(row.points for row in found) - (fired + 1 - begin) == min(AFTER, n - 1 - fired)
    for row in found:
        assert (row.low, row.high) == (row.first_step, row.last_step)
        assert row.mean == np.float64((row.low + row.high) / 2) or math.isclose(
            row.mean, (row.low + row.high) / 2
        )
        assert math.isclose(row.others[0], 10 * row.mean, abs_tol=1e-9)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    values = np.array([1.0, np.nan, 3.0, np.inf] * 8)
    first = rows(np.arange(32), values, 0, 31)[0]
    assert (first.points, first.not_finite, first.mean) == (2, 1, 1.0)
    whole = rows(np.arange(4), np.array([np.nan] * 4), 0, 3)
    assert all(math.isnan(row.mean) and row.not_finite == 1 for row in whole)


def test_how_far_back_a_detector_looked() -> None:
    assert window(NonFinite(), 100) == 100 + 1 - 64
    assert window(NonFinite(), 10) == 0
    assert window(Threshold(above=1), 100) == 100 + 1 - LEAST_POINTS
    assert window(Divergence(), 100) == 0
