"""The alert lifecycle, written as strings: verdicts in, states out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts import (
    BORN,
    Alert,
    Episode,
    Life,
    Moment,
    Positions,
    State,
    advance,
    visible,
)
from monitor.points import Evidence, Health
from monitor.rules import Inhibition, Rule, Severity, Span, Unit
from tests.toys import rule

VERDICTS = {".": Health.OK, "x": Health.BAD, "?": Health.UNKNOWN}
LETTERS = {State.INACTIVE: "I", State.PENDING: "P", State.FIRING: "F"}


def states(
    verdicts: str, hold: int, keep: int, unit: Unit = Unit.STEPS, cuts: tuple[int, ...] = ()
) -> str:
    """The state after each verdict, one letter each; ``cuts`` only feed, they show nothing."""
    shown = ""
    for length in range(1, len(verdicts) + 1):
        shown += LETTERS[_final(verdicts[:length], hold, keep, unit, cuts).state]
    return shown


def _final(verdicts: str, hold: int, keep: int, unit: Unit, cuts: tuple[int, ...]) -> Life:
    edges = [0, *sorted({c for c in cuts if 0 < c < len(verdicts)}), len(verdicts)]
    life = BORN
    for a, b in itertools.pairwise(edges):
        health = np.array([VERDICTS[v] for v in verdicts[a:b]], dtype=np.int8)
        at = Positions(a, np.arange(a, b), np.arange(a, b, dtype=np.float64))
        life, _ = advance(life, health, at, Span(hold, unit), Span(keep, unit))
    return life


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize(
    ("verdicts", "hold", "keep", "expected"),
    [
        (".xxx.", 2, 0, "IPPFI"),
        ("x", 0, 0, "F"),
        ("x.x.x", 1, 0, "PIPIP"),  # a good verdict ends a pending state at once
        ("x.....", 0, 3, "FFFIII"),
        ("x..x...", 0, 3, "FFFFFFI"),  # a bad verdict starts the keeping anew
        ("x??x", 3, 0, "PPPF"),  # unknown neither resets the clock nor fires
        ("x?????", 2, 0, "PPPPPP"),
        ("x????.", 0, 2, "FFFFFI"),
        ("?????", 0, 0, "IIIII"),
        ("xxxx", 9, 0, "PPPP"),
    ],
)
def test_states(verdicts: str, hold: int, keep: int, expected: str, unit: Unit) -> None:
    assert states(verdicts, hold, keep, unit) == expected


@given(
    st.text(alphabet=".x?", min_size=1, max_size=40),
    st.integers(0, 5),
    st.integers(0, 5),
    st.lists(st.integers(1, 39), max_size=6),
)
def test_a_track_does_not_depend_on_the_cuts(
    verdicts: str, hold: int, keep: int, cuts: list[int]
) -> None:
    whole = _final(verdicts, hold, keep, Unit.STEPS, ())
    assert _final(verdicts, hold, keep, Unit.STEPS, tuple(cuts)) == whole


def episode(r: Rule, fired: int, resolved: int | None = None, tag: str = "loss") -> Episode:
    end = None if resolved is None else moment(resolved)
    return Episode(r, "run", tag, moment(fired), moment(fired), Evidence(1.0, "seen"), end)


def moment(step: int) -> Moment:
    return Moment(step, step, float(step))


NAN = rule("NaN", severity=Severity.CRITICAL)
SPIKE = rule("Spike")
NAN_HIDES_WARNINGS = Inhibition({"alert": ("NaN",)}, {"severity": ("warning",)}, ("run",))


def spans(alerts: tuple[Alert, ...]) -> list[tuple[str, int, int | None]]:
    return [(a.rule.alert, a.fired.step, a.resolved.step if a.resolved else None) for a in alerts]


def test_overlapping_episodes_are_one_alert_that_names_all_subjects() -> None:
    alerts = visible([episode(SPIKE, 5, 9, "a"), episode(SPIKE, 7, 12, "b")], [])
    assert spans(alerts) == [("Spike", 5, 12)]
    assert alerts[0].subject == "a, b"


def test_episodes_apart_are_two_alerts() -> None:
    assert spans(visible([episode(SPIKE, 5, 9), episode(SPIKE, 20)], [])) == [
        ("Spike", 5, 9),
        ("Spike", 20, None),
    ]


@pytest.mark.parametrize(
    ("nan", "spike", "expected"),
    [
        ((5, None), (7, None), [("NaN", 5, None)]),  # a consequence
        ((5, None), (5, None), [("NaN", 5, None)]),  # at the same step
        ((9, None), (7, None), [("Spike", 7, 9), ("NaN", 9, None)]),  # it was there first
        ((5, 8), (7, None), [("NaN", 5, 8), ("Spike", 8, None)]),  # it outlives the source
        ((5, 8), (9, None), [("NaN", 5, 8), ("Spike", 9, None)]),
        ((9, None), (3, 7), [("Spike", 3, 7), ("NaN", 9, None)]),
    ],
)
def test_inhibition(
    nan: tuple[int, int | None],
    spike: tuple[int, int | None],
    expected: list[tuple[str, int, int | None]],
) -> None:
    episodes = [episode(NAN, *nan), episode(SPIKE, *spike)]
    assert spans(visible(episodes, [NAN_HIDES_WARNINGS])) == expected
    assert spans(visible(episodes[::-1], [NAN_HIDES_WARNINGS])) == expected


def test_an_alert_does_not_inhibit_itself() -> None:
    everything = Inhibition({}, {}, ("run",))
    assert spans(visible([episode(NAN, 5)], [everything])) == [("NaN", 5, None)]


def test_many_subjects_are_counted() -> None:
    alerts = visible([episode(SPIKE, 5, tag=f"tag{i}") for i in range(9)], [])
    assert alerts[0].subject == "tag0, tag1, tag2, tag3, tag4, tag5 and 3 more"
