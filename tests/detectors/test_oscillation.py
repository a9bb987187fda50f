"""Oscillation: order in time, not noise. Recall is in test_scenarios."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.oscillation import Oscillation
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow
from tests.detectors.recipes import Recipe, train

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=2000)
T = np.arange(2000)


def judged(values: Floats, lr: float = np.nan) -> Verdict | None:
    return first_bad(
        follow(Oscillation(), values, context={"learning_rate": np.full(len(values), lr)})
    )


def test_alternation_is_named_with_the_learning_rate() -> None:
    bad = judged(1.5 + 0.5 * (-1.0) ** T + 0.1 * NOISE, lr=0.3)
    assert bad is not None
    assert bad.evidence is not None
    assert "alternates" in bad.evidence.seen
    assert "the learning rate is 0.3" in bad.evidence.seen
    assert bad.evidence.facts == {"learning_rate": "0.3"}


@pytest.mark.parametrize("n", [100, 500, 2000])
@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0])
def test_the_same_values_in_random_order_are_none(n: int, sigma: float) -> None:
    values = 1.5 + sigma * NOISE[:n]
    assert judged(values) is None
    assert judged(RNG.permutation(1.5 + 0.5 * (-1.0) ** T[:n])) is None


def test_thrown_and_stuck() -> None:
    values = 2.3 + 0.05 * NOISE[:500]
    values[1:8] += 30 * 0.5 ** np.arange(7)
    bad = judged(values)
    assert bad is not None
    assert bad.evidence is not None
    assert "thrown" in bad.evidence.seen
    learns = values * np.exp(-T[:500] / 100)
    assert judged(learns) is None


def test_swings_above_the_start() -> None:
    swing = np.where(T > 500, 2.0 * (1 + np.sin(T / 3.0)), 0.0)
    bad = judged(1.0 + np.exp(-T / 100) + swing + 0.02 * NOISE)
    assert bad is not None
    assert bad.evidence is not None
    assert "swings" in bad.evidence.seen


@pytest.mark.parametrize("period", [8, 13, 30])
@pytest.mark.parametrize("shift", [0.0, -7.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_swings_that_were_there_from_the_start(period: float, shift: float, scale: float) -> None:
    values = scale * (2.0 + shift + np.sin(2 * np.pi * T[:500] / period) + 0.1 * NOISE[:500])
    bad = judged(values)
    assert bad is not None
    assert bad.evidence is not None
    assert "period" in bad.evidence.seen


@pytest.mark.parametrize("seed", range(30))
def test_wandering_is_not_called_periodic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wander, level = np.empty(1000), 0.0
    for i, push in enumerate(rng.normal(size=1000)):
        level = 0.9 * level + push
        wander[i] = level
    bad = judged(10.0 + wander)
    assert bad is None or (bad.evidence is not None and "period" not in bad.evidence.seen)


def test_swings_of_a_cyclic_rate_are_the_rate_s() -> None:
    cycle = np.sin(2 * np.pi * T[:1000] / 50)
    loss = 2.0 + cycle + 0.05 * NOISE[:1000]
    rates = {"learning_rate": 1e-3 * (1.5 + cycle)}
    assert first_bad(follow(Oscillation(), loss, context=rates)) is None


def test_small_swings_about_a_falling_loss_are_the_edge_of_stability() -> None:
    assert judged(0.1 + 2.2 / (1 + T / 50) + 0.03 * (-1.0) ** T) is None


@pytest.mark.parametrize("seed", [0, 1])
def test_adam_three_hundred_times_too_fast(seed: int) -> None:
    log = train(Recipe(lr=0.3, seed=seed, steps=150))
    assert judged(log.loss) is not None
    well = train(Recipe(lr=1e-3, seed=seed, steps=150))
    assert judged(well.loss) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [800, 2000])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-5, 0.0), (1e3, 0.0), (1.0, -9.0)])
def test_thrown_again_and_again(n: int, seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    loss = 2.3 + 0.02 * rng.normal(size=n)
    for at in range(20, n, 45):
        height = np.exp(1 + rng.normal())
        loss[at:] += height * np.exp(-np.arange(n - at) / rng.uniform(3, 8))
    assert judged(scale * (loss + shift)) is not None
    learns = loss - 1.8 * (1 - np.exp(-np.arange(n) / (0.2 * n)))
    assert judged(scale * (learns + shift)) is None, "spikes, but it learns"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width", [0.3, 0.6])
@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_skewed_noise_at_the_floor_is_none(seed: int, width: float, memory: float) -> None:
    """Fine-tuning by tiny batches, or a value loss: no better than at the start, and well."""
    rng = np.random.default_rng(seed)
    wander, level = np.empty(1500), 0.0
    for i, push in enumerate(rng.normal(size=1500)):
        level = memory * level + (1 - memory**2) ** 0.5 * push
        wander[i] = level
    assert judged(0.3 * np.exp(width * wander)) is None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [90, 300, 1500])
def test_noise_that_shrinks_is_no_kick(seed: int, n: int) -> None:
    """Batches that grow: the loss was at its floor from the start, and gets calmer."""
    noise = np.random.default_rng(seed).gamma(2.0, 0.5, size=n)
    t = np.arange(n) / n
    assert judged(0.25 * (1 + (noise - 1) * np.exp(-t / 0.3))) is None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [200, 1000])
def test_thrown_and_never_back(n: int, seed: int) -> None:
    """It comes down for the whole run, and is not even where it was before the first step."""
    rng = np.random.default_rng(seed)
    loss = 4.0 + 40 * np.exp(-np.arange(n) / 15) + 3 * np.exp(-3 * np.arange(n) / n)
    loss[0] = 1.4
    assert judged(loss * np.exp(0.12 * rng.normal(size=n))) is not None


def test_two_thousand_times_its_start_is_told_in_forty_points() -> None:
    values = 2.3 + 0.05 * NOISE[:60]
    values[1:12] += 2000 * 0.4 ** np.arange(11)
    bad = judged(values)
    assert bad is not None
    assert bad.at < 45


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("every", [1, 10])
def test_squared_errors_of_single_examples_are_none(seed: int, every: int) -> None:
    """They pile up at zero and reach high, each for itself."""
    values = 0.7 * np.random.default_rng(seed).normal(size=3000) ** 2
    assert judged(values[::every]) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 4, 10, 100])
@pytest.mark.parametrize(("n", "noise"), [(240, 0.05), (1200, 0.1)])
def test_worse_than_guessing(classes: int, n: int, noise: float, seed: int) -> None:
    """A classifier whose rate keeps it above what guessing costs, noisy, for the whole run."""
    rng = np.random.default_rng(seed)
    cost = np.log(classes)
    loss = cost * (1.12 + noise * rng.normal(size=n))
    loss[:4] = cost * (1 + 0.01 * rng.normal(size=4))
    assert judged(loss) is None, "fine-tuning whose first batch cost little"
    learns = loss - 0.5 * cost * (1 - np.exp(-np.arange(n) / 300))
    loss[6:12] += cost * rng.uniform(0.5, 1.5, size=6)
    bad = judged(loss)
    assert bad is not None
    assert bad.evidence is not None
    assert "guessing" in bad.evidence.seen or "thrown" in bad.evidence.seen
    assert judged(learns) is None
    creeps = cost * (1.05 + 0.15 * rng.normal(size=n)) - 0.2 * np.linspace(0, 1, n)
    assert judged(creeps) is None, "batches of two, which learn slowly"
    nothing = cost * (1.008 + 0.02 * rng.normal(size=n))
    assert judged(nothing) is None, "labels that say nothing"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, -40.0])
def test_grown_wild(seed: int, scale: float, shift: float) -> None:
    """On its way to the edge, its swings grow with every step, in no order that is seen."""
    n = 1600
    t, noise = np.arange(n), np.random.default_rng(seed).normal(size=n)
    level = 1.1 + 1.2 * np.exp(-t / 60)
    wild = level * np.exp(np.minimum(0.02 * np.exp(t / 250), 0.9) * noise)
    bad = judged((wild + shift) * scale)
    assert bad is not None
    assert bad.evidence is not None
    assert "scatter in the first quarter" in bad.evidence.seen
    rewarded = follow(Oscillation(), (wild + shift) * scale, context={"reward": wild})
    assert first_bad(rewarded) is None, "losses of games grow wild as the player gets on"
    grows = 0.05 * np.exp(t / 400) * np.exp(0.3 * noise)  # with its level, as values do
    batches = level + np.where(t > 800, 0.1, 0.02) * noise  # a quarter of the batch, and less
    spikes = level + 0.02 * noise + np.where(t % 40 == 39, t / 200, 0.0)
    worse = level + np.where(t > 800, 3.0 + noise, 0.02 * noise)  # a harder task
    never = 0.02 + 0.1 * np.exp(np.minimum(t / 250, 5)) * noise  # a policy's
    for loss in (grows, batches, spikes, worse, never):
        assert judged((loss + shift) * scale) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("period", [30, 60])
def test_a_loss_that_rings_from_the_start_and_dies_away(period: int, seed: int) -> None:
    """A momentum of 0.999: down within a few steps, back to the start, and so on."""
    n = np.arange(600)
    noise = 0.02 * np.random.default_rng(seed).normal(size=600)
    ringing = 0.4 * np.exp(-n / 400) * np.cos(2 * np.pi * n / period)
    bad = first_bad(follow(Oscillation(), 0.5 + ringing + noise))
    assert bad is not None
    assert bad.at < 8 * period
    once = 0.5 + 0.4 * np.exp(-n / 20) * np.cos(2 * np.pi * n / period) + noise
    assert first_bad(follow(Oscillation(), once)) is None
