"""Curves' bins: the quick way where all is finite gives bit for bit what the other one does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor import bins
from monitor.points import Floats

VALUES = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.integers(1, 40).flatmap(
        lambda per_bin: st.lists(
            st.lists(VALUES, min_size=per_bin, max_size=per_bin), min_size=1, max_size=6
        )
    ),
    VALUES,
)
def test_both_ways_agree_where_all_is_finite(rows: list[list[float]], last: float) -> None:
    values = np.array(rows)
    quick, slow = np.empty((2, 7, len(rows)))
    with np.errstate(all="ignore"):
        jumps = np.diff(values.ravel(), prepend=last).reshape(values.shape)
        if not np.isfinite(jumps).all():
            return
        bins._moments_of_all(values, jumps, quick)
        bins._moments_of_known(values, jumps, slow)
    np.testing.assert_array_equal(quick, slow)


@given(st.integers(1, 20), st.integers(2, 8), st.data())
def test_a_hole_changes_no_other_bin(per_bin: int, count: int, data: st.DataObject) -> None:
    values: Floats = np.array(
        data.draw(st.lists(VALUES, min_size=per_bin * count, max_size=per_bin * count))
    )
    hole = data.draw(st.integers(0, len(values) - 1))
    holed = values.copy()
    holed[hole] = np.nan
    whole, other = (bins._moments(column, per_bin, 0.0) for column in (values, holed))
    at = hole // per_bin
    untouched = [i for i in range(count) if i not in {at, (hole + 1) // per_bin}]
    np.testing.assert_array_equal(whole[:, untouched], other[:, untouched])
    assert other[0, at] == per_bin - 1
