"""Series in few characters."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.ruletests.notation import MOST_POINTS, BadNotation, parse

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2.5 -3e2", [1, 2.5, -300]),
        ("nan inf -inf", [NAN, INF, -INF]),
        ("2x3", [2, 2, 2, 2]),  # as promtool has it: three further samples
        ("1+0.5x3", [1, 1.5, 2, 2.5]),
        ("1-0.5x3", [1, 0.5, 0, -0.5]),
        ("-1+1x2", [-1, 0, 1]),
        ("8*0.5x3", [8, 4, 2, 1]),
        ("nanx1 5", [NAN, NAN, 5]),
    ],
)
def test_values(text: str, values: list[float]) -> None:
    found, there = parse(text)
    np.testing.assert_allclose(found, values)
    assert there.all()


def test_missing_points() -> None:
    assert parse("1 _ 2 _x3 _x0 3")[1].tolist() == [1, 0, 1, 0, 0, 0, 1]


def test_noise_is_the_same_every_time_and_another_for_each_series() -> None:
    a, again, other = (parse("5~2x9999", seed)[0] for seed in ("a", "a", "b"))
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, other)
    assert a.mean() == pytest.approx(5, abs=0.1)
    assert a.std() == pytest.approx(2, rel=0.05)
    # Promised for ever: tests that users wrote depend on it.
    assert parse("0~1x2", "seed")[0] == pytest.approx([-1.08828, -0.71693, 1.10320], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "offset", "said"),
    [
        ("", 0, "no values"),
        ("1 2y", 2, "'2y' is no value"),
        ("1  x5", 3, "'x5' is no value"),
        ("_+1x5", 0, "'_+1x5' is no value"),
        ("1+x5", 0, "no value"),
        ("1x5x5", 0, "no value"),
        ("1x10 1x999999999", 5, f"more than {MOST_POINTS} points"),
    ],
)
def test_mistakes_are_told_where_they_stand(text: str, offset: int, said: str) -> None:
    with pytest.raises(BadNotation, match=re.escape(said)) as caught:
        parse(text)
    assert caught.value.offset == offset


@given(st.text(alphabet="0123456789.eE+-*~x_nainf ", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        values, there = parse(text)
    except BadNotation as bad:
        assert 0 <= bad.offset <= len(text)  # noqa: PT017
    else:
        assert len(values) == len(there) > 0 or "_x0" in text
