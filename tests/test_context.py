"""Other series, joined by time."""

from __future__ import annotations

import numpy as np

from monitor.context import ContextColumn, as_of, greatest, starts
from monitor.points import Points, SeriesKey
from tests.toys import scalar_points


def test_context_is_what_was_known_strictly_before() -> None:
    column = ContextColumn()
    column.append(scalar_points([0.1, 0.2], clock=[10.0, 20.0]))
    np.testing.assert_array_equal(
        column.as_of(np.array([9.0, 10.0, 15.0, 20.0, 21.0])), [np.nan, np.nan, 0.1, 0.1, 0.2]
    )


def test_context_of_several_writers_is_ordered_by_time() -> None:
    column = ContextColumn()
    column.append(scalar_points([0.2], clock=[20.0]))
    column.append(scalar_points([0.1], clock=[10.0]))
    np.testing.assert_array_equal(column.as_of(np.array([15.0, 25.0])), [0.1, 0.2])


def test_several_groups_give_the_greatest_rate() -> None:
    columns = [np.array([1.0, np.nan, np.nan]), np.array([2.0, 1.0, np.nan])]
    np.testing.assert_array_equal(greatest(columns, 3), [2.0, 1.0, np.nan])


def column(*told: tuple[float, float]) -> ContextColumn:
    """(clock, value) each."""
    clock, values = (np.array(some) for some in zip(*told, strict=True))
    found = ContextColumn()
    steps = np.arange(len(clock), dtype=np.int64)
    found.append(Points(SeriesKey("run", "lr"), "w", steps, clock, clock, values))
    return found


def test_of_the_script_and_the_hook_those_count_that_were_told_last() -> None:
    clock = np.arange(0.0, 8.0)
    sampled = column((0.5, 1.0), (5.5, 0.1))
    script = column((0.4, 1.0), (1.5, 0.1), (2.5, 0.01))
    columns = {"health/lr/pg0": sampled, "train/lr": script}
    expected = [np.nan, 1.0, 0.1, 0.01, 0.01, 0.01, 0.1, 0.1]
    np.testing.assert_array_equal(as_of(columns, clock), expected)
    # Of each, the greatest.
    columns["lr-group2"] = column((2.4, 0.3))
    np.testing.assert_array_equal(as_of(columns, clock)[2:6], [0.1, 0.3, 0.3, 0.3])
    del columns["train/lr"], columns["lr-group2"]
    np.testing.assert_array_equal(as_of(columns, clock), [np.nan, *[1.0] * 5, 0.1, 0.1])
    assert np.isnan(as_of({}, clock)).all()


def test_what_a_role_began_with() -> None:
    late = column((3.0, np.nan), (4.0, 5.0), (9.0, 1.0))
    columns = {"loss_a": column((1.0, 2.0), (2.0, 0.5)), "loss_b": late}
    clock = np.array([0.5, 1.0, 1.5, 4.0, 4.5, 20.0])
    np.testing.assert_array_equal(starts(columns, clock), [np.nan, np.nan, 2, 2, 5, 5])
    assert np.isnan(starts({}, clock)).all()
