"""Order statistics against numpy's, and numbers for people."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.detectors.robust import fold, median, middle, number, quantile

FLOATS = st.floats(-1e6, 1e6) | st.just(float("nan"))


@settings(deadline=None)
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=FLOATS))
def test_median_skips_nan(values: np.ndarray) -> None:
    expected = [
        np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in values
    ]
    np.testing.assert_allclose(median(values), expected)


@settings(deadline=None)
@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e6, 1e6)))
def test_middle_is_the_median(values: np.ndarray) -> None:
    np.testing.assert_allclose(middle(values), np.median(values))


def test_quantile_takes_the_nearest() -> None:
    values = np.array([[3.0, np.nan, 1.0, 2.0], [np.nan] * 4])
    np.testing.assert_array_equal(quantile(values, 0.0), [1.0, np.nan])
    np.testing.assert_array_equal(quantile(values, 1.0), [3.0, np.nan])


def test_numbers_for_people() -> None:
    assert [number(v) for v in (2.30258, 1e-9, 123456.0)] == ["2.303", "1e-09", "1.235e+05"]
    assert [fold(v) for v in (3.14, 320.4, 120000.0)] == ["3.1-fold", "320-fold", "1.2e+05-fold"]
