"""Spans: text to value and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.rules import Span, Unit
from monitor.rules.spans import LONGEST, parse_span, show_span


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("50 steps", 50, Unit.STEPS),
        ("1 step", 1, Unit.STEPS),
        ("50steps", 50, Unit.STEPS),
        ("30 points", 30, Unit.POINTS),
        ("1 point", 1, Unit.POINTS),
        ("5m", 300, Unit.SECONDS),
        ("1h30m", 5400, Unit.SECONDS),
        ("90s", 90, Unit.SECONDS),
        ("1d", 86400, Unit.SECONDS),
        ("1w2d", 777600, Unit.SECONDS),
        ("0", 0, Unit.STEPS),
        (0, 0, Unit.STEPS),
        ("0s", 0, Unit.SECONDS),
        (" 5m ", 300, Unit.SECONDS),
    ],
)
def test_reads(text: object, amount: float, unit: Unit) -> None:
    assert parse_span(text) == Span(amount, unit)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("50 stepz", "did you mean '50 steps'?"),
        ("5 minutes", "did you mean '5m'?"),
        ("3 Points", "did you mean '3 points'?"),
        ("2 hrs", "did you mean '2h'?"),
        ("50", "50 of what? Write '50 steps', '50 points' or '50s'"),
        (50, "50 of what?"),
        ("12:30:00", "for a time write '12h30m'"),
        ("5:00", "for a time write '5m'"),
        ("-5 steps", "cannot be negative"),
        (-5, "cannot be negative"),
        ("1.5h", "is not a span"),
        (1.5, "is not a span"),
        ("30m1h", "is not a span"),
        ("", "is not a span"),
        ("9999999999999 steps", "is not a span"),
        ("999999999999w", "too long"),
        (True, "expected a span"),
        (None, "expected a span"),
        ([], "expected a span"),
        (float("nan"), "is not a span"),
        (float("inf"), "is not a span"),
        (10**400, "is not a span"),
    ],
)
def test_refuses(text: object, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_span(text)
    assert says in str(caught.value)


@given(st.integers(0, LONGEST - 1), st.sampled_from(Unit))
@settings(deadline=None)
def test_round_trip(amount: int, unit: Unit) -> None:
    span = Span(amount, unit)
    assert parse_span(show_span(span)) == span


@given(st.one_of(st.text(), st.floats(), st.integers(), st.from_regex(r"\A-?\d+ ?[a-z:]+\d*\Z")))
@settings(deadline=None)
def test_refuses_with_a_value_error_only(value: object) -> None:
    try:
        parse_span(value)
    except ValueError:
        return
