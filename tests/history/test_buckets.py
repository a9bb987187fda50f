"""Points in a bounded number of buckets: no extreme is lost, chunks do not matter."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.history.buckets import Buckets
from monitor.points import Floats

VALUES = st.lists(
    st.one_of(
        st.floats(-1e6, 1e6), st.sampled_from([float("nan"), float("inf"), float("-inf"), 0.0])
    ),
    min_size=1,
    max_size=300,
)


def filled(values: Floats, most: int, cuts: list[int]) -> Buckets:
    """Buckets that took the values in the parts between ``cuts``."""
    buckets = Buckets(most, 1)
    steps = np.arange(len(values))
    edges = [0, *sorted(cut % (len(values) + 1) for cut in cuts), len(values)]
    for a, b in pairwise(edges):
        buckets.append(steps[a:b], values[a:b, None])
    return buckets


@given(VALUES, st.lists(st.integers(0, 300), max_size=8), st.sampled_from([4, 16, 64]))
def test_how_points_were_cut_does_not_matter(
    numbers: list[float], cuts: list[int], most: int
) -> None:
    values = np.array(numbers)
    whole, parts = (filled(values, most, some).thinned(10) for some in ([], cuts))
    np.testing.assert_array_equal(parts.steps, whole.steps)
    for name in ("low", "high", "bad"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-9, atol=1e-6)


@given(VALUES, st.sampled_from([4, 16, 64]), st.integers(1, 50))
def test_nothing_is_lost_and_nothing_is_made_up(
    numbers: list[float], most: int, wanted: int
) -> None:
    values = np.array(numbers)
    buckets = filled(values, most, [])
    thinned = buckets.thinned(wanted)
    known = values[np.isfinite(values)]
    assert len(thinned.steps) <= wanted
    assert (buckets.count, thinned.steps[-1]) == (len(values), len(values) - 1)
    assert thinned.bad.sum() == len(values) - len(known)
    if len(known):
        assert np.nanmin(thinned.low) == known.min()
        assert np.nanmax(thinned.high) == known.max()
    begin = 0
    for i, last in enumerate(thinned.steps.tolist()):
        part = values[begin : last + 1]
        part, begin = part[np.isfinite(part)], last + 1
        if not len(part):
            assert np.isnan([thinned.low[i, 0], thinned.high[i, 0], thinned.mean[i, 0]]).all()
            continue
        assert (thinned.low[i, 0], thinned.high[i, 0]) == (part.min(), part.max())
        assert thinned.mean[i, 0] == pytest.approx(part.mean(), rel=1e-6, abs=1e-6)


def test_huge_values_have_a_mean_between_their_extremes() -> None:
    buckets = Buckets(4, 1)
    buckets.append(np.arange(8), np.full((8, 1), 1.5e308))
    assert (buckets.thinned(1).mean == 1.5e308).all()


def test_memory_is_bounded() -> None:
    buckets = Buckets(64, 3)
    for begin in range(0, 100_000, 1000):
        steps = np.arange(begin, begin + 1000)
        buckets.append(steps, np.ones((1000, 3)))
    thinned = buckets.thinned(10**6)
    assert len(thinned.steps) <= 65
    assert thinned.mean.shape == (len(thinned.steps), 3)
