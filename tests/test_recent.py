"""The last rows: whatever comes in whatever pieces, the same is held as by plain concatenation."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.recent import Recent


def rows(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two columns, the second of three numbers each."""
    numbers = np.arange(begin, end)
    return numbers, np.stack((numbers, numbers + 0.5, -numbers), axis=1)


@given(
    st.integers(1, 100),
    st.lists(st.one_of(st.integers(1, 5), st.integers(1, 400)), min_size=1, max_size=40),
)
def test_the_last_rows_are_held_and_new_ones_come_behind_them(keep: int, sizes: list[int]) -> None:
    recent, held = Recent(keep), 0
    for begin, end in itertools.pairwise(itertools.accumulate(sizes, initial=0)):
        first = begin - held
        for found, expected in zip(recent.append(rows(begin, end)), rows(first, end), strict=True):
            np.testing.assert_array_equal(found, expected)
        recent.trim()
        held = min(end, keep)
        assert len(recent) == held
        for found, expected in zip(recent.rows(), rows(end - held, end), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_huge_read_is_not_kept_alive_and_one_point_takes_little_room() -> None:
    recent = Recent(4096)
    recent.append(rows(0, 1))
    assert _bytes(recent) < 20_000
    recent.append(rows(1, 1_000_000))
    recent.trim()
    assert _bytes(recent) < 4096 * 8 * 4 + 10_000
    for i in range(20_000):
        recent.append(rows(i, i + 1))
        recent.trim()
    assert _bytes(recent) < 1.6 * 4096 * 8 * 4


def _bytes(recent: Recent) -> int:
    """What it takes to keep, memory with nothing in it included."""
    return len(pickle.dumps(recent))


def test_other_rows_may_stand_there_instead() -> None:
    recent = Recent(10)
    recent.append(rows(0, 5))
    recent.replace(rows(100, 103))
    (numbers, _) = recent.append(rows(103, 104))
    assert numbers.tolist() == [100, 101, 102, 103]


@pytest.mark.parametrize("count", [1, 500])
def test_the_rows_that_came_are_not_the_ones_that_are_held(count: int) -> None:
    """The writer may reuse its arrays."""
    recent, new = Recent(600), rows(0, count)
    recent.append(new)
    new[0][:] = -1
    assert (recent.rows()[0] == np.arange(count)).all()
