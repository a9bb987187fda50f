"""From batches to alerts: chunk invariance above all, then attempts, writers, context, silence."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detectors.base import Folded, Memory
from monitor.detectors.expression import Expression
from monitor.engine import Engine
from monitor.episodes import EPISODES_PER_RUN
from monitor.points import (
    OK,
    Batch,
    Evidence,
    Health,
    Points,
    Pulse,
    Verdict,
    Verdicts,
    Window,
)
from monitor.rules import Rule, Severity, Span, Unit
from monitor.rules.model import Inhibition
from monitor.series import slice_points
from tests.toys import (
    AboveContext,
    CurveMean,
    MeanAbove,
    batch,
    rule,
    rule_set,
    scalar_points,
    tag,
)

Seen = list[tuple[str, str, int, int | None, str]]


def seen(engine: Engine) -> Seen:
    return [
        (
            a.rule.alert,
            a.subject,
            a.fired.step,
            None if a.resolved is None else a.resolved.step,
            a.evidence.seen,
        )
        for a in engine.alerts()
    ]


def fed(rules: tuple[Rule, ...], *batches: Batch, inhibitions: tuple[Inhibition, ...] = ()) -> Seen:
    engine = Engine(rule_set(*rules, inhibitions=inhibitions))
    for one in batches:
        engine.feed(one)
    return seen(engine)


def test_an_alert_fires_and_resolves_at_the_steps_of_the_points() -> None:
    points = scalar_points([-1.0, 2.0, 3.0, -1.0, -1.0], steps=[10, 20, 30, 40, 50])
    assert fed((rule(),), batch(points)) == [("Toy", "loss", 20, 40, "mean 2 over steps [20]")]


@dataclass(frozen=True)
class Record:
    tag: str
    value: float
    step: int


def whole(records: list[Record]) -> list[Points]:
    """What a reader makes of records read at once: columns per series, one clock."""
    clock = np.arange(1.0, len(records) + 1)
    found = []
    for name in dict.fromkeys(r.tag for r in records):
        at = [i for i, r in enumerate(records) if r.tag == name]
        points = scalar_points([records[i].value for i in at], tag=name)
        steps = np.array([records[i].step for i in at], dtype=np.int64)
        found.append(replace(points, steps=steps, clock=clock[at], wall_times=clock[at]))
    return found


def cut(records: list[Record], edges: list[int]) -> list[Batch]:
    """The same records in several reads."""
    columns = whole(records)
    batches = []
    for a, b in itertools.pairwise(edges):
        part = []
        for points in columns:
            first, last = np.searchsorted(points.clock, [a + 1, b + 1])
            if last > first:
                part.append(slice_points(points, int(first), int(last)))
        if part:
            batches.append(batch(*part))
    return batches


RECORDS = st.lists(
    st.builds(
        Record,
        st.sampled_from(["loss", "lr", "other"]),
        st.sampled_from([-1.0, 0.5, 2.0, np.nan]),
        st.just(0),
    ),
    min_size=1,
    max_size=150,
)
RULES = (
    rule("Now", MeanAbove(0.3), match=tag("loss")),
    rule(
        "Held",
        MeanAbove(0.4, points=3),
        hold=Span(2, Unit.POINTS),
        keep=Span(4, Unit.STEPS),
        severity=Severity.CRITICAL,
        match=tag("loss|other"),
    ),
    rule("Seconds", MeanAbove(0.2, points=2), hold=Span(5, Unit.SECONDS)),
    rule("Curve", CurveMean(0.3), match=tag("loss")),
    rule("Joined", AboveContext(), match=tag("loss")),
)
HIDES = Inhibition({"alert": ("Held",)}, {"severity": ("warning",)}, ("run",))


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.data())
def test_the_same_alerts_however_the_data_was_cut(
    records: list[Record], data: st.DataObject
) -> None:
    steps = data.draw(st.lists(st.integers(-2, 3), min_size=len(records), max_size=len(records)))
    jumps = data.draw(st.sets(st.integers(0, len(records)), max_size=2))
    step, stepped = 0, []
    for i, (record, move) in enumerate(zip(records, steps, strict=True)):
        step = 0 if i in jumps else step + move
        stepped.append(replace(record, step=step))
    edges = data.draw(st.lists(st.integers(1, len(records)), max_size=8))
    n = len(records)
    at_once = fed(RULES, *cut(stepped, [0, n]), inhibitions=(HIDES,))
    one_by_one = fed(RULES, *cut(stepped, list(range(n + 1))), inhibitions=(HIDES,))
    some_way = fed(RULES, *cut(stepped, sorted({0, n, *edges})), inhibitions=(HIDES,))
    assert at_once == one_by_one == some_way


def test_a_restart_of_the_run_is_a_new_attempt() -> None:
    first = scalar_points([2.0] * 10, steps=list(range(10)), clock=list(range(10)))
    again = scalar_points([-1.0] * 10, steps=list(range(10)), clock=list(range(20, 30)))
    found = fed((rule(detector=MeanAbove(0.0, points=3)),), batch(first), batch(again))
    assert [(name, fired, resolved) for name, _, fired, resolved, _ in found] == [("Toy", 2, 0)]


def test_a_later_file_goes_on_where_the_earlier_one_ended() -> None:
    first = scalar_points([2.0, 2.0], steps=[0, 1], writer="a")
    second = scalar_points([2.0], steps=[2], writer="b")
    held = rule(detector=MeanAbove(0.0, points=3))
    assert [fired for _, _, fired, _, _ in fed((held,), batch(first), batch(second))] == [2]


def test_writers_side_by_side_do_not_mix() -> None:
    a = scalar_points([1.0] * 6, writer="a", clock=[0, 2, 4, 6, 8, 10])
    b = scalar_points([-9.0] * 6, writer="b", clock=[1, 3, 5, 7, 9, 11])
    found = fed((rule(detector=MeanAbove(0.0, points=3)),), batch(a), batch(b))
    assert [(fired, resolved) for _, _, fired, resolved, _ in found] == [(2, None)]


def test_the_number_of_episodes_is_bounded_and_counted() -> None:
    flapping = scalar_points([1.0, -1.0] * (EPISODES_PER_RUN + 50))
    engine = Engine(rule_set(rule()))
    engine.feed(batch(flapping))
    view = engine.view("run")
    assert len(view.alerts) == EPISODES_PER_RUN
    assert view.forgotten == {"Toy": 50}


@dataclass(frozen=True)
class Silent:
    """Bad after ``seconds`` without an event."""

    seconds: float = 10.0
    name: ClassVar[str] = "silent"

    def listen(self, pulse: Pulse, now: float) -> Verdict:
        silence = now - pulse.last_wall_time
        if pulse.ended or silence < self.seconds:
            return OK
        return Verdict(Health.BAD, Evidence(silence, f"silent for {silence:.0f} s"))


def test_silence_is_judged_against_the_clock_that_is_handed_in() -> None:
    engine = Engine(rule_set(rule(detector=Silent())))
    engine.feed(batch(scalar_points([1.0, 1.0], clock=[100.0, 101.0])))
    assert engine.tick(105.0) == frozenset()
    assert engine.tick(112.0) == {"run"}
    assert seen(engine) == [("Toy", "(events)", 1, None, "silent for 11 s")]
    engine.feed(batch(scalar_points([1.0], steps=[2], clock=[113.0])))
    assert engine.tick(113.5) == {"run"}
    assert not any(alert.active for alert in engine.alerts())


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_that_ended_is_not_silent(ended: bool) -> None:
    engine = Engine(rule_set(rule(detector=Silent())))
    engine.feed(batch(scalar_points([1.0]))._replace(ended=ended))
    engine.tick(1e6)
    assert bool(seen(engine)) is not ended


def test_a_detector_that_fails_costs_its_own_alerts_only() -> None:
    @dataclass(frozen=True)
    class Broken(MeanAbove):
        name: ClassVar[str] = "broken"

        def __call__(self, window: Window) -> Verdicts:
            raise ZeroDivisionError("oh")

    engine = Engine(rule_set(rule("Broken", Broken()), rule("Sound")))
    engine.feed(batch(scalar_points([1.0])))
    assert [a.rule.alert for a in engine.alerts()] == ["Sound"]
    assert engine.failures == {"Broken": "broken: ZeroDivisionError: oh"}


def test_a_view_holds_what_others_may_see() -> None:
    engine = Engine(rule_set())
    engine.feed(batch(scalar_points([1.0, 2.0]))._replace(facts={"optimizer": "Adam"}))
    view = engine.view("run")
    assert (view.last_step, view.last_event, view.scalars["loss"]) == (1, 2.0, 2.0)
    assert view.facts == {"optimizer": "Adam"}


def test_a_fold_detector_that_fails_costs_only_its_own_alerts() -> None:
    class Broken(Expression):
        def fold(self, memory: Memory, window: Window) -> Folded:
            raise ArithmeticError("oh")

    engine = Engine(
        rule_set(rule("Bad", Broken("value > 0")), rule("Good", Expression("value > 0")))
    )
    engine.feed(batch(scalar_points([1.0])))
    assert [alert.rule.alert for alert in engine.alerts()] == ["Good"]
    assert engine.failures == {"Bad": "expression: ArithmeticError: oh"}
