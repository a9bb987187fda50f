"""Curves as text: nothing is left out, whatever the numbers, and it fits the width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.explain.plot import ASCII, BRAILLE, HEIGHT, Marks, Signs, draw, scale

NAN, INF = float("nan"), float("inf")
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def body(lines: list[str], signs: Signs) -> list[str]:
    """What is drawn of the curve, without labels."""
    edge = [line.index(signs.edge) + 1 for line in lines]
    return [line[at:] for line, at in zip(lines[:HEIGHT], edge, strict=False)]


@given(
    st.lists(NUMBERS, min_size=1, max_size=60),
    st.integers(1, 200),
    st.sampled_from([BRAILLE, ASCII]),
)
@settings(max_examples=300, deadline=None)
def test_every_finite_value_is_drawn_and_all_else_is_marked(
    values: list[float], width: int, signs: Signs
) -> None:
    column = np.array(values)
    steps = np.arange(len(values))
    lines = draw(steps, column, Marks(0, len(values) - 1, None), width, signs)
    assert max(map(len, lines)) <= max(width, 23)
    finite = np.isfinite(column)
    if finite.any():
        drawn = body(lines, signs)
        columns = max(10, min(width, 100) - 13)
        for step in steps[finite]:
            at = round(step / max(1, len(values) - 1) * (columns - 1))
            near = range(max(0, at - 1), at + 2)
            assert any(len(line) > i and line[i] != " " for line in drawn for i in near)
    assert any(line.strip().startswith("not finite") for line in lines) != finite.all()


@pytest.mark.parametrize("signs", [BRAILLE, ASCII])
def test_the_scale_reaches_from_the_lowest_to_the_highest(signs: Signs) -> None:
    lines = draw(np.arange(50), np.linspace(-3, 7, 50), Marks(0, 9, 9), 60, signs)
    drawn = body(lines, signs)
    assert lines[0].split()[0] == "7"
    assert lines[HEIGHT - 1].split()[0] == "-3"
    assert drawn[0].rstrip()
    assert drawn[0][0] == " "  # rises from the left below to the right top
    assert drawn[-1][0] != " "


def test_a_spike_between_two_columns_is_not_lost() -> None:
    values = np.ones(10_000)
    values[4321] = 50
    lines = draw(np.arange(10_000), values, Marks(0, 1, None), 60)
    assert lines[0].split()[0] == "50"
    assert len(body(lines, BRAILLE)[0].split()) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], "linear"),
        ([0.01, 2], "log"),
        ([0, 1000], "linear"),
        ([-1, 1000], "linear"),
        ([1e-300, 1e300], "log"),
        ([NAN, INF], "linear"),
        ([1, INF, NAN, 500], "log"),
    ],
)
def test_the_scale_is_logarithmic_where_the_spread_is_large(
    values: list[float], expected: str
) -> None:
    assert scale(np.array(values, float)) == expected


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (Marks(0, 5, None), "-----^===="),
        (Marks(2, 5, 7), "  ---^=="),
        (Marks(5, 5, 5), "     ^"),
        (Marks(0, 9, None), "---------^"),
    ],
)
def test_the_span_of_the_alert_is_marked(marks: Marks, expected: str) -> None:
    lines = draw(np.arange(10), np.ones(10), marks, 23, ASCII)
    assert lines[-2] == "      alert |" + expected
    assert lines[-1] == "       step |0        9"
