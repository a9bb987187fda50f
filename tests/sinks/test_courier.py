"""A courier brings everything, in order, whatever the channel does."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.sinks.courier import Courier, Later, Outcome, Refused, Taken
from monitor.sinks.ledger import OLDEST_SECONDS, Delivery, Ledger
from tests.sinks.test_ledger import alert, started


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)

    def info(self, event: str, **values: object) -> None:
        self.lines.append(f"{event} {values}")

    warning = error = info


@dataclass
class Moody:
    """A channel that answers as it was told, and then takes everything."""

    answers: list[Outcome] = field(default_factory=list)
    taken: list[tuple[str, int, bool]] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    name: str = "slack"
    most: int = 3
    pause: float = 0.0

    def send(self, run: str, deliveries: Sequence[Delivery]) -> Outcome:
        outcome = self.answers.pop(0) if self.answers else Taken()
        if isinstance(outcome, Taken):
            self.messages.append(len(deliveries))
            self.taken += [(run, d.document["fired_step"], d.firing) for d in deliveries]
        return outcome


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def scene(channel: Moody) -> tuple[Ledger, Courier, Clock, Log, list[str]]:
    clock, log, counted = Clock(), Log(), list[str]()
    ledger = started(None, clock.now)
    return ledger, Courier(channel, ledger, log, counted.append, clock), clock, log, counted


def test_one_message_for_each_run() -> None:
    channel = Moody()
    ledger, courier, clock, _, counted = scene(channel)
    ledger.update("a", [alert("X"), alert("Y")], clock.now)
    ledger.update("b", [alert("X", run="b")], clock.now)
    courier.deliver()
    assert channel.messages == [], "it is gathered still"
    clock.now += 1
    courier.deliver()
    assert channel.messages == [2, 1]
    assert counted == ["ok", "ok"]
    assert ledger.waiting("slack") == 0
    ledger.close()


def test_the_channels_wish_for_patience_is_respected() -> None:
    channel = Moody([Later("HTTP 429", 30.0)])
    ledger, courier, clock, log, counted = scene(channel)
    ledger.update("a", [alert("X")], clock.now)
    clock.now += 1
    courier.deliver()
    assert "429" in log.lines[0]
    clock.now += 29
    courier.deliver()
    assert counted == ["retried"]
    clock.now += 2
    courier.deliver()
    assert counted == ["retried", "ok"]
    ledger.close()


def test_pauses_grow_to_a_limit_and_then_it_is_given_up() -> None:
    channel = Moody([Later("down")] * 1000)
    ledger, courier, clock, log, counted = scene(channel)
    ledger.update("a", [alert("X")], clock.now)
    asked = []
    while ledger.waiting("slack"):
        clock.now += 5.0
        left = len(channel.answers)
        courier.deliver()
        if len(channel.answers) < left:
            asked.append(clock.now)
    pauses = [b - a for a, b in itertools.pairwise(asked)]
    assert pauses[0] <= 5
    assert 200 < max(pauses) < 400
    assert clock.now - 1000.0 > OLDEST_SECONDS
    assert counted[-2:] == ["given_up", "retried"]
    assert sum("not taken" in line for line in log.lines) == 1, "said once"
    ledger.close()


def test_a_flood_is_bounded_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack is away, and a rule without ``keep_firing_for`` flaps."""
    monkeypatch.setattr("monitor.sinks.ledger.MOST_WAITING", 6)
    channel = Moody([Later("down", 60.0)])
    ledger, courier, clock, log, counted = scene(channel)
    flaps = [alert("X", fired=i, resolved=i + 1) for i in range(0, 10, 2)]
    for i in range(len(flaps)):
        ledger.update("a", flaps[: i + 1], clock.now)
        clock.now += 1
        courier.deliver()
    assert ledger.waiting("slack") == 6
    assert counted.count("given_up") == 2
    assert sum("too many were waiting" in line for line in log.lines) == 2
    clock.now += 60
    courier.deliver()
    late = [("a", fired, firing) for fired in (4, 6, 8) for firing in (True, False)]
    assert channel.taken == late, "the newest, in order"
    ledger.close()


def test_what_is_refused_is_not_tried_again() -> None:
    channel = Moody([Refused("no such hook")])
    ledger, courier, clock, log, counted = scene(channel)
    ledger.update("a", [alert("X")], clock.now)
    clock.now += 1
    courier.deliver()
    assert (counted, ledger.waiting("slack")) == (["refused"], 0)
    assert "no such hook" in log.lines[0]
    ledger.close()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([Taken(), Later("x"), Later("y", 7.0)]), max_size=30),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
)
def test_everything_arrives_once_and_in_order(answers: list[Outcome], runs: list[str]) -> None:
    channel = Moody(answers)
    ledger, courier, clock, _, _ = scene(channel)
    for step, run in enumerate(runs):
        ledger.update(run, [alert("X", fired=step, run=run)], clock.now)
        clock.now += 0.3
        courier.deliver()
    while ledger.waiting("slack"):
        clock.now += 400
        courier.deliver()
    assert (
        sorted(channel.taken)
        == sorted(
            [(run, step, True) for step, run in enumerate(runs)]
            # Each update replaces the run's alerts: those before are gone, and so have resolved.
            + [(run, step, False) for step, run in enumerate(runs) if run in runs[step + 1 :]]
        )
    )
    for run in set(runs):
        steps = [step for of, step, firing in channel.taken if of == run and firing]
        assert steps == sorted(steps)
    assert max(channel.messages) <= channel.most
    ledger.close()


def test_the_thread_delivers_and_ends() -> None:
    channel = Moody()
    ledger = started()
    with Courier(channel, ledger, Log()) as courier:
        ledger.update("a", [alert("X")], 0.0)
        courier.wake()
    assert len(channel.taken) == 1, "what waits goes out before the end"
    ledger.close()
