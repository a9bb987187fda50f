"""Losses that never leave their start, and those that may stand there."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.not_learning import NotLearning
from monitor.points import Floats, Health
from tests.detectors.following import Verdict, first_bad, follow
from tests.detectors.recipes import Recipe, train

N = 800
T = np.arange(N) / N


def judged(loss: Floats, **context: Floats) -> Verdict | None:
    return first_bad(follow(NotLearning(), loss, context=context))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shift", [0.0, -20.0])
@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_stuck_at_chance(seed: int, factor: float, shift: float) -> None:
    loss = np.log(10) + 0.03 * np.random.default_rng(seed).normal(size=N)
    bad = judged((loss + shift) * factor)
    assert bad is not None
    assert bad.evidence is not None
    assert ("ln(10)" in bad.evidence.seen) == (factor == 1 and shift == 0)


@pytest.mark.parametrize("seed", range(3))
def test_epochs_at_chance_are_means_of_many_batches(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=48)
    loss = np.log(10) + 0.003 + 0.004 * noise
    loss[0] = 2.9  # the first epoch's mean: it was thrown there
    bad = judged(loss)
    assert bad is not None
    assert bad.at < 45
    assert judged(loss[:30]) is None
    fast = np.linspace(0.0, 0.5, 48)
    assert first_bad(follow(NotLearning(), loss, clock=fast)) is None, "batches at the very start"
    assert judged(np.log(10) + 0.03 * noise) is None, "48 batches"
    assert judged(2.4 + 0.004 * noise) is None, "no class count: it may be a floor"
    assert judged(loss - 0.002 * np.arange(48)) is None, "it falls"


def test_a_real_training_whose_rate_is_far_too_low() -> None:
    assert judged(train(Recipe(lr=1e-9, steps=400)).loss) is not None
    assert judged(train(Recipe(steps=400)).loss) is None


@pytest.mark.parametrize("seed", range(3))
def test_look_alikes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=N)
    quiet = [
        1.2 + 0.15 * noise,  # fine-tuning at its floor
        0.02 * noise - 0.01,  # a policy
        0.7 + 0.4 * np.cumsum(noise) / N**0.5 + 0.02 * noise,  # an adversary
        2.3 - 0.5 * T + 0.03 * noise,
        1e-5 * np.abs(noise),  # converged from the start
        np.zeros(N),
    ]
    for loss in quiet:
        assert judged(loss) is None


def test_warm_up_and_reward_leave_it_unknown() -> None:
    loss = np.log(10) + 0.03 * np.random.default_rng(0).normal(size=N)
    assert judged(loss[:590], learning_rate=1e-3 * T[:590]) is None
    assert judged(loss, reward=T) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_warm_up_that_does_not_end(seed: int) -> None:
    """Counted in tokens: after 700 steps the rate is at a thousandth, and nothing has moved."""
    loss = 2.7 + 0.03 * np.random.default_rng(seed).normal(size=N)
    assert judged(loss, learning_rate=1e-6 * T) is not None
    learns = loss - 1.5 * T**2
    assert judged(learns, learning_rate=1e-3 * T) is None


def test_what_goes_on_from_a_checkpoint_is_not_at_its_start() -> None:
    """Slow as a language model late in its training is."""
    loss = 3.8 + 0.05 * np.random.default_rng(0).normal(size=N)
    late, early = 10 * np.arange(N) + 9000, 10 * np.arange(N) + 10
    assert first_bad(follow(NotLearning(), loss, late)) is None
    assert first_bad(follow(NotLearning(), loss, early)) is not None


def rewards(seed: int, persistence: float) -> Floats:
    """Noise of rewards; as a mean over past episodes, it persists."""
    white = np.random.default_rng(seed).normal(size=N)
    noise = np.empty(N)
    noise[0] = white[0]
    for i in range(1, N):
        noise[i] = persistence * noise[i - 1] + (1 - persistence**2) ** 0.5 * white[i]
    return noise


def judged_reward(reward: Floats) -> Verdict | None:
    found = follow(NotLearning(of="reward", points=300), reward, context={"reward": reward})
    return next((v for v in found[::-1] if v.health == Health.BAD), None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("persistence", [0.0, 0.8])
def test_a_reward_that_stays_where_it_was(seed: int, persistence: float) -> None:
    noise = rewards(seed, persistence)
    bad = judged_reward(21 + 1.5 * noise)
    assert bad is not None
    assert bad.evidence is not None
    assert "the reward has stayed at 2" in bad.evidence.seen
    learns = [
        21 + 1.5 * noise + 180 * T,
        -200 + 60 * noise + 400 * T,  # noisy, and slow
        21 + 1.5 * noise + 400 * (1 - np.exp(-12 * T)),  # at its best within the first quarter
        21 + 1.5 * noise + 400 * (1 - np.exp(-120 * T)),  # within the first points
        np.full(N, 500.0),
    ]
    for reward in learns:
        assert first_bad(follow(NotLearning(of="reward", points=300), reward)) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_first_fall_to_what_guessing_costs_is_no_learning(seed: int) -> None:
    noise = 0.015 * np.random.default_rng(seed).normal(size=N)
    fall = np.exp(-np.arange(N) / 5)
    assert judged(np.log(10) + 0.6 * fall + noise) is not None
    assert judged(2.4 + 0.6 * fall + noise) is None, "a floor"
    assert judged(np.log(10) + 8 * fall + noise) is None, "a language model that came from 10"
    assert judged(np.log(10) - 0.8 * fall + noise) is None, "it has lost what it knew"


def test_guessing_is_told_after_half_as_many_points() -> None:
    noise = 0.02 * np.random.default_rng(0).normal(size=70)
    steps = 50 * np.arange(70)
    assert first_bad(follow(NotLearning(), np.log(10) + noise, steps)) is not None
    assert first_bad(follow(NotLearning(), 2.45 + noise, steps)) is None, "a floor, perhaps"
    learns = np.log(10) - 0.01 * np.arange(70) + noise
    assert first_bad(follow(NotLearning(), learns, steps)) is None
