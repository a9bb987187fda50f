"""A rate that fell too early, at a step or at every one, and schedules that are well."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.early_decay import EarlyDecay
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow

N = 800
T = np.arange(N) / N


def learned(rate: Floats, seed: int, tau: float = 0.25, floor: float = 0.2) -> Floats:
    """What a rate brings: the loss falls with the rate spent, its noise is that of the rate."""
    noise = np.random.default_rng(seed).normal(size=N)
    return floor + 2.0 * np.exp(-np.cumsum(rate) / N / tau) + 0.02 * np.sqrt(rate) * noise


def judged(rate: Floats, loss: Floats) -> Verdict | None:
    return first_bad(follow(EarlyDecay(), loss, context={"learning_rate": 1e-3 * rate}))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "rate",
    [np.where(T < 0.15, 1.0, 0.05), np.where(T < 0.25, 1.0, 0.01), np.exp(-T / 0.1)],
    ids=["step", "late step", "geometric"],
)
def test_it_fell_too_early(rate: Floats, seed: int) -> None:
    bad = judged(rate, learned(rate, seed))
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.onset_step is not None
    assert rate[bad.evidence.onset_step] < 0.25


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_other_units(factor: float) -> None:
    rate = np.where(T < 0.15, 1.0, 0.05)
    assert judged(rate, learned(rate, 0) * factor - 3 * factor) is not None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "rate",
    [
        np.ones(N),
        0.5 * (1 + np.cos(np.pi * T)),
        1 - T,
        np.minimum(T / 0.3, 1 - (T - 0.3) / 0.7) + 0.01,
        np.where(T < 0.85, 1.0, 0.1),
        0.999995 ** np.arange(N),
    ],
    ids=["constant", "cosine", "line", "one cycle", "tail", "hardly"],
)
def test_schedules_that_are_well(rate: Floats, seed: int) -> None:
    assert judged(rate, learned(rate, seed)) is None


@pytest.mark.parametrize("seed", range(3))
def test_stairs_at_the_right_time(seed: int) -> None:
    rate = np.where(T < 0.4, 1.0, np.where(T < 0.7, 0.1, 0.01))
    drop = np.where(T < 0.4, 0.0, 0.15)
    assert judged(rate, learned(np.ones(N), seed, tau=0.1, floor=0.5) - drop) is None


def test_nothing_is_known_without_a_rate() -> None:
    assert first_bad(follow(EarlyDecay(), learned(np.where(T < 0.15, 1.0, 0.05), 0))) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "k"), [(300, 30), (900, 60), (900, 250), (4000, 40)])
@pytest.mark.parametrize("noise", [0.005, 0.05])
@pytest.mark.parametrize("power", [0.0, 1.0, 3.0])
def test_a_schedule_in_the_wrong_unit(
    n: int, k: int, noise: float, power: float, seed: int
) -> None:
    """Over so many epochs, and stepped with each batch: the rate is zero for most of the run."""
    rate = np.maximum(1 - np.arange(n) / k, 0.0) ** power * (np.arange(n) < k)
    spent = np.cumsum(rate) / rate.sum()
    loss = 0.4 + 1.9 * np.exp(-1.2 * spent) + noise * np.random.default_rng(seed).normal(size=n)
    for factor in (1e-4, 1.0, 1e3):
        context = {"learning_rate": 1e-3 * rate}
        assert first_bad(follow(EarlyDecay(), factor * loss, context=context)) is not None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [300, 1000, 4000])
@pytest.mark.parametrize("noise", [0.005, 0.05])
@pytest.mark.parametrize("last", [1e-2, 1e-4, 0.0])
def test_a_decay_at_the_floor_is_none(n: int, noise: float, last: float, seed: int) -> None:
    """It was surely at its floor, or had learnt all there is, when the rate went."""
    t = np.arange(n) / n
    rng = np.random.default_rng(seed)
    rate = np.where(t < 0.3, 1.0, np.where(t < 0.4, 0.1, last))
    floor = 0.5 + 1.8 * np.exp(-t / 0.04) + noise * rng.normal(size=n)
    nothing = 2.3 * np.exp(-t / 0.05) * np.exp(0.3 * rng.normal(size=n)) + 1e-4
    for loss in (floor, nothing):
        assert first_bad(follow(EarlyDecay(), loss, context={"learning_rate": rate})) is None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("height", [3.0, 100.0, 8000.0])
def test_what_was_thrown_and_came_down_has_learnt_nothing(height: float, seed: int) -> None:
    """A warm-up upside down: the first steps throw the loss far above its start, and then it is
    stuck there. That the rate has gone since is not why.
    """
    n = np.arange(500)
    thrown = height * np.exp(-np.abs(n - 3) / 12.0) * (n > 0)
    noise = 0.02 * np.random.default_rng(seed).normal(size=500)
    context = {"learning_rate": 0.5 * 10 ** -np.minimum(2.0, n / 20)}
    assert first_bad(follow(EarlyDecay(), 1.39 + 0.01 + thrown + noise, context=context)) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("at", [0.1, 0.3])
def test_what_had_come_far_and_yet_lost_a_quarter_of_itself(
    at: float, factor: float, seed: int
) -> None:
    """By a steep fall at first the last quarter's gain is little of all; it is told where the rate
    went so early that no usual schedule does.
    """
    early = at > T
    rate = np.where(early, 1.0, 0.005)
    spent = np.cumsum(rate) / N / at
    loss = 12 * np.exp(-8 * spent) + 6 * np.exp(-1.6 * spent)
    loss *= factor * np.exp(0.05 * np.random.default_rng(seed).normal(size=N))
    assert (judged(rate, loss) is not None) == (at < 0.2)
