"""What is held back changes nothing: every alert comes with the very read that raises it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.attempts import Attempt
from monitor.detectors.exploding_gradient import ExplodingGradient
from monitor.detectors.nonfinite import NonFinite
from monitor.detectors.stalled import Stalled
from monitor.detectors.threshold import Threshold
from monitor.engine import Engine
from monitor.formats.event import EventDecoder
from monitor.formats.records import RecordReader
from monitor.held import HOLD_READS, SMALL_READ, Held
from monitor.points import Batch
from monitor.rules import Rule, RuleSet, Span, Unit, load
from tests.bench.recordfiles import TRAIN, series
from tests.toys import AboveContext, CurveMean, batch, rule, rule_set, scalar_points, tag

RULES = (
    rule("Broken", NonFinite(), match=tag("loss")),
    rule("High", Threshold(above=2.5), hold=Span(2, Unit.POINTS), match=tag("loss|norm")),
    rule("Exploding", ExplodingGradient(factor=3, memory=60, points=30), match=tag("norm")),
    rule("Curve", CurveMean(1.2), match=tag("loss")),
    rule("Joined", AboveContext(), match=tag("other")),
)
OFTEN = 0.01
"""Seconds between two events: fifty of them are held together."""


def view_of(engine: Engine) -> list[tuple[Any, ...]]:
    return [
        (a.rule.alert, a.tags, a.fired, a.resolved, a.onset_step, a.evidence.seen)
        for a in engine.view("run").alerts
    ]


def told(rules: RuleSet, batches: Sequence[Batch]) -> Iterator[list[tuple[Any, ...]]]:
    """The alerts after each batch."""
    engine = Engine(rules)
    for one in batches:
        engine.feed(one)
        yield view_of(engine)


def judged_at_once(rules: RuleSet, batches: Sequence[Batch]) -> list[list[tuple[Any, ...]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Held, "takes", lambda *_: False)
        return list(told(rules, batches))


@dataclass(frozen=True)
class Read:
    """Some points of each of some series."""

    tags: frozenset[str]
    points: int
    level: float
    bad: float
    back: bool
    writer: str
    pause: float


READS = st.lists(
    st.builds(
        Read,
        st.frozensets(st.sampled_from(["loss", "norm", "other", "lr"]), min_size=1),
        st.integers(1, 12),
        st.sampled_from([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 4.0]),
        st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, math.nan, math.inf, 3.0]),
        st.sampled_from([False] * 9 + [True]),
        st.sampled_from(["a", "a", "a", "b"]),
        st.sampled_from([0.0, 0.0, 0.0, 0.2, 3.0]),
    ),
    max_size=60,
)


def batches_of(reads: Sequence[Read]) -> list[Batch]:
    found, step, clock = [], 40, 0.0
    for number, read in enumerate(reads):
        step = 0 if read.back else step
        at = np.arange(step, step + read.points)
        times = np.asarray(clock + OFTEN * np.arange(1, read.points + 1), np.float64)
        step, clock = step + read.points, float(times[-1]) + read.pause
        columns = []
        for name in sorted(read.tags):
            values = read.level + 0.1 * np.sin(at + number)
            values[-1] += read.bad
            points = scalar_points(values, tag=name, writer=read.writer)
            columns.append(replace(points, steps=at, clock=times, wall_times=times))
        found.append(batch(*columns))
    return found


@settings(max_examples=300, deadline=None)
@given(READS)
def test_no_alert_is_later_or_other_than_if_all_were_judged_at_once(reads: list[Read]) -> None:
    batches = batches_of(reads)
    rules = rule_set(*RULES)
    assert list(told(rules, batches)) == judged_at_once(rules, batches)


def quiet(reads: int, points: int = 5) -> list[Batch]:
    """A loss that says nothing, as it is written a hundred times a second."""
    found = []
    for begin in range(0, reads * points, points):
        at = np.arange(begin, begin + points)
        loss = scalar_points(1 + 0.1 * np.sin(at))
        times = np.asarray(OFTEN * at, np.float64)
        found.append(batch(replace(loss, steps=at, clock=times, wall_times=times)))
    return found


@pytest.fixture
def judgements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Points that were judged together, time after time."""
    found: list[int] = []
    advance = Attempt.advance

    def counted(attempt: Attempt, stretch: Any, *rest: Any) -> None:
        found.append(len(stretch))
        advance(attempt, stretch, *rest)

    monkeypatch.setattr(Attempt, "advance", counted)
    return found


WATCHED: tuple[Rule, ...] = RULES[:2]


def test_a_busy_run_is_judged_twice_a_second(judgements: list[int]) -> None:
    list(told(rule_set(*WATCHED), quiet(200)))
    assert 18 <= len(judgements) <= 22
    assert max(judgements) <= 60


def test_each_point_is_judged_at_once_where_points_are_rare(judgements: list[int]) -> None:
    engine = Engine(rule_set(*WATCHED))
    for second in range(20):
        engine.feed(batch(scalar_points([1.0], steps=[second])))
    assert judgements == [1] * 20


def test_a_rule_that_cannot_foresee_is_shown_every_read(judgements: list[int]) -> None:
    list(told(rule_set(*WATCHED, rule("Mean")), quiet(50)))
    assert judgements == [5] * 50


def test_what_is_held_is_bounded_though_the_clock_stands_still(judgements: list[int]) -> None:
    frozen = [
        batch(replace(one.points[0], clock=np.zeros(5), wall_times=np.zeros(5)))
        for one in quiet(3 * HOLD_READS)
    ]
    list(told(rule_set(*WATCHED), frozen))
    assert max(judgements) == 5 * (HOLD_READS + 1)


def test_a_big_read_is_judged_at_once(judgements: list[int]) -> None:
    engine = Engine(rule_set(*WATCHED))
    for one in quiet(3, points=2 * SMALL_READ):
        engine.feed(one)
    assert judgements == [2 * SMALL_READ] * 3


def test_a_firing_alert_ends_with_the_read_that_ends_it() -> None:
    values = [1.0] * 5 + [math.nan] + [1.0] * 5
    batches = [
        batch(scalar_points([value], steps=[i], clock=[OFTEN * i]))
        for i, value in enumerate(values)
    ]
    found = list(told(rule_set(RULES[0]), batches))
    assert [len(alerts) for alerts in found] == [0] * 5 + [1] * 6
    assert [alerts[0][3] is None for alerts in found[5:]] == [True] + [False] * 5


def test_silence_is_listened_to_with_all_that_was_read(judgements: list[int]) -> None:
    engine = Engine(rule_set(*WATCHED, rule("Silent", Stalled())))
    for one in quiet(3):
        engine.feed(one)
    before = sum(judgements)
    engine.tick(1000.0)
    assert (before, sum(judgements)) == (5, 15)


def test_a_detector_that_fails_is_told_of_and_held_back_for_nobody(
    monkeypatch: pytest.MonkeyPatch, judgements: list[int]
) -> None:
    def fails(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Threshold, "cannot_be_bad", fails)
    engine = Engine(rule_set(*WATCHED))
    for one in quiet(4):
        engine.feed(one)
    assert judgements == [5] * 4
    assert engine.failures == {"High": "threshold: ZeroDivisionError: "}


@pytest.mark.parametrize("size", [1, 7, 200])
def test_files_read_little_by_little_or_in_blocks_say_the_same(size: int) -> None:
    makers = [series(name) for name in TRAIN]
    records = [
        make(1.7e9 + step / 800, step, math.nan if (step, i) == (700, 0) else 2 / (1 + step))
        for step in range(900)
        for i, make in enumerate(makers)
    ]
    reader, decoder = RecordReader(), EventDecoder("run", "w")
    batches = [
        one
        for begin in range(0, len(records), 5 * size)
        for one in decoder.decode_all(
            cast("Any", reader.feed(b"".join(records[begin : begin + 5 * size])))
        )
    ]
    found = list(told(load(None), batches))
    assert found == judged_at_once(load(None), batches)
    assert "LossBecameNonFinite" in [name for name, *_ in found[-1]]
