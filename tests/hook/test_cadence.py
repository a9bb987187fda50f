"""Which steps are looked at."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")  # the room it stands in imports it

from monitor.hook.cadence import CLOSE_LOOK, WIDEST, Cadence, Unrest


def looked(cadence: Cadence, steps: int) -> list[int]:
    return [step for step in range(steps) if cadence.advance()]


def test_all_at_first_then_every_kth() -> None:
    assert looked(Cadence(10), 51) == [*range(20), 20, 30, 40, 50]
    assert looked(Cadence(7, warmup=3), 22) == [0, 1, 2, 7, 14, 21]
    assert looked(Cadence(1), 30) == list(range(30))


def test_an_alarm_makes_the_next_few_count() -> None:
    cadence = Cadence(100, warmup=0)
    assert looked(cadence, 3) == [0]
    cadence.alarm()
    assert looked(cadence, 10) == list(range(CLOSE_LOOK))


def test_there_is_no_cadence_below_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Cadence(0)
    with pytest.raises(ValueError, match="positive"):
        Cadence(1, budget=0.0)


def spend(cadence: Cadence, steps: int, cost: float) -> None:
    """Steps of one second, ``cost`` more when looked at; every seventh has an evaluation in it."""
    for step in range(steps):
        looked = cadence.advance()
        cadence.spent(1.0 + cost * looked + 9.0 * (step % 7 == 0), looked)


def test_the_cadence_widens_until_it_fits_the_budget() -> None:
    cadence = Cadence(10, budget=0.01)
    spend(cadence, 40, cost=0.25)  # the warm-up's looks count: no need to wait for more
    assert cadence.every == 30  # and a margin of a fifth
    spend(cadence, 1000, cost=0.25)
    assert cadence.every == 30


def test_the_cadence_narrows_when_half_would_do() -> None:
    cadence = Cadence(10, budget=0.01)
    spend(cadence, 1000, cost=0.25)
    spend(cadence, 1000, cost=0.15)
    assert cadence.every == 30
    spend(cadence, 1000, cost=0.01)
    assert cadence.every == 10  # what was asked for is the least


def test_a_cadence_wider_than_the_widest_stays() -> None:
    cadence = Cadence(5000, budget=0.01)
    spend(cadence, 50, cost=0.0)
    assert cadence.every == 5000


def test_a_cheap_look_keeps_the_cadence() -> None:
    cadence = Cadence(10, budget=0.01)
    spend(cadence, 1000, cost=0.05)
    assert cadence.every == 10


def test_the_cadence_has_a_widest() -> None:
    cadence = Cadence(10, budget=1e-9)
    spend(cadence, 1000, cost=0.5)
    assert cadence.every == WIDEST


def test_unknown_and_unlimited_spending_change_nothing() -> None:
    cadence = Cadence(10)
    spend(cadence, 1000, cost=5.0)
    spend(cadence, 10, cost=math.nan)
    assert cadence.every == 10


def test_only_the_turn_is_unrest() -> None:
    unrest = Unrest()
    assert not any(unrest.sees(1.0 + 0.1 * i, False) for i in range(5))
    assert unrest.sees(math.nan, True)
    assert not any(unrest.sees(math.nan, True) for _ in range(5))
    assert not unrest.sees(1.0, False)
    assert unrest.sees(math.inf, True)


def test_a_gradient_ten_times_the_usual_is_unrest() -> None:
    unrest = Unrest()
    assert not any(unrest.sees(1.0, False) for _ in range(5))
    assert not unrest.sees(9.0, False)
    assert unrest.sees(100.0, False)


def test_unknown_gradients_are_not() -> None:
    unrest = Unrest()
    assert not any(unrest.sees(math.nan, False) for _ in range(5))
