"""When a run was heard of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from monitor.heartbeat import LAST_WORDS_SECONDS, RECENT_GAPS, Heartbeat
from monitor.points import Batch
from tests.toys import batch, scalar_points


def heard(*batches: Batch) -> Heartbeat:
    heartbeat = Heartbeat("run")
    for one in batches:
        heartbeat.hear(one)
    return heartbeat


def at(*clock: float, writer: str = "a", tag: str = "loss") -> Batch:
    points = scalar_points([1.0] * len(clock), clock=list(clock), writer=writer, tag=tag)
    return batch(points)


def test_nothing_heard() -> None:
    pulse = heard().pulse()
    assert (pulse.events, pulse.longest_gap, pulse.typical_gap) == (0, 0.0, 0.0)


@pytest.mark.parametrize("cuts", [(), (2,), (1, 2, 3, 4)])
def test_gaps_do_not_depend_on_the_reads(cuts: tuple[int, ...]) -> None:
    clock = [0.0, 1.0, 3.0, 4.0, 9.0]
    edges = [0, *cuts, len(clock)]
    pulse = heard(*(at(*clock[a:b]) for a, b in itertools.pairwise(edges))).pulse()
    assert (pulse.longest_gap, pulse.typical_gap, pulse.last_wall_time) == (5.0, 1.5, 9.0)


def test_pauses_between_writers_do_not_count() -> None:
    pulse = heard(at(0.0, 1.0, 3.0), at(5000.0, 5001.0, writer="b")).pulse()
    assert (pulse.longest_gap, pulse.typical_gap) == (2.0, 1.0)


def test_tags_of_one_step_are_one_event() -> None:
    both = batch(*at(0.0, 4.0).points, *at(0.0, 4.0, tag="lr").points)
    assert heard(both).pulse().typical_gap == 4.0


def test_the_typical_gap_is_a_recent_one() -> None:
    early = [float(i) for i in range(100)]
    late = [1000.0 + 10.0 * i for i in range(RECENT_GAPS + 1)]
    pulse = heard(at(*early), at(*late)).pulse()
    assert (pulse.typical_gap, pulse.longest_gap) == (10.0, 901.0)


def test_a_run_that_goes_on_has_not_ended() -> None:
    ended = at(0.0)._replace(ended=True)
    assert heard(ended).ended
    assert not heard(ended, at(LAST_WORDS_SECONDS + 1.0)).ended
    assert heard(at(0.0), Batch("run", "b", ended=True)).ended


def test_last_words_after_the_end_are_no_going_on() -> None:
    ended = at(1000.0)._replace(ended=True)
    # What TensorBoard's writer had buffered, and the results of a test.
    assert heard(ended, at(990.0, 1000.0, writer="b")).ended
    assert heard(ended, at(1030.0, writer="b")).ended
    assert not heard(ended, at(1030.0, writer="b"), at(1100.0, writer="b")).ended


def test_an_older_file_read_later_does_not_set_the_clock_back() -> None:
    heartbeat = heard(at(100.0, 101.0), at(5.0, 6.0, writer="b"))
    assert heartbeat.last_clock == 101.0


COSINE = [5e-4 * (1 + math.cos(math.pi * i / 100)) for i in range(101)]


@pytest.mark.parametrize("reads", [1, 7, 200])
@pytest.mark.parametrize(
    ("rates", "spent"),
    [
        (COSINE, True),
        (COSINE[:-1], True),
        (COSINE[:90], False),
        ([0.0, 0.0, 0.0], False),  # a warm-up that has not begun
        ([0.0, *COSINE[:50]], False),
        ([1e-3] * 50 + [1e-6] * 50, False),  # stairs
        ([*COSINE, float("nan")], True),
        ([*COSINE, 1e-3], False),  # a warm restart
    ],
)
def test_a_rate_that_has_come_to_nothing(rates: list[float], spent: bool, reads: int) -> None:
    heartbeat = Heartbeat("run")
    for part in np.array_split(np.array(rates), reads):
        heartbeat.spend("lr", part)
    assert heartbeat.pulse().spent is spent
    heartbeat.spend("other_lr", np.array([1e-3]))
    assert not heartbeat.pulse().spent, "the other group's rate is up"
