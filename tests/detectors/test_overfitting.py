"""Validation that rises while training goes on, and validation that does not."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.overfitting import Overfitting
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow


def judged(val: Floats, train: Floats | None) -> Verdict | None:
    context = None if train is None else {"train_loss": train}
    return first_bad(follow(Overfitting(), val, context=context))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [10, 30, 300])
@pytest.mark.parametrize("known", [True, False])
def test_it_rises_from_a_third_on(n: int, seed: int, known: bool) -> None:
    noise = np.random.default_rng(seed).normal(size=(2, n))
    t = np.arange(n) / n
    train = 2.3 * np.exp(-t / 0.2) + 0.02 * noise[0]
    val = 1.0 + 1.3 * np.exp(-t / 0.1) + 1.5 * np.maximum(t - 0.3, 0) + 0.02 * noise[1]
    for factor, shift in ((1.0, 0.0), (1e-6, 0.0), (1e6, 0.0), (1.0, -20.0)):
        bad = judged(val * factor + shift, train * factor + shift if known else None)
        assert bad is not None
        assert bad.evidence is not None
        assert bad.evidence.onset_step is not None
        assert bad.evidence.onset_step < 0.6 * n


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [10, 30, 300])
def test_look_alikes(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(n) / n
    train = 2.3 * np.exp(-t / 0.2)
    gap = train + 0.3 + 0.05 * rng.normal(size=n)
    flat = 1.0 + 1.3 * np.exp(-t / 0.1) + 0.1 * rng.normal(size=n)
    wiggle = gap + 0.1 * np.sin(2 * np.pi * 3 * t)
    for val in (gap, flat, wiggle):
        assert judged(val, train) is None


def test_divergence_is_not_overfitting() -> None:
    t = np.arange(30) / 30
    train = 0.5 + np.exp(-t / 0.1) + 4 * np.maximum(t - 0.3, 0)
    assert judged(train + 0.2, train) is None


def test_a_huge_first_loss_is_no_measure() -> None:
    """Scores that begin at zero: 12 falls to 1.75, and climbs to 2.2 in perfect order."""
    t = np.arange(40) / 40
    val = 1.75 + 10 * np.exp(-t / 0.03) + 0.6 * np.maximum(t - 0.2, 0)
    train = 14 * np.exp(-t / 0.06)
    assert judged(val, train) is not None
    noisy = val + 0.1 * np.random.default_rng(0).normal(size=40)
    assert judged(noisy, train) is None, "neither clear nor in order"


def test_a_rise_of_a_thousandth_is_not_worth_a_word() -> None:
    """A net that hardly learns: validation has gained nothing that could be lost."""
    t = np.arange(40) / 40
    assert judged(2.304 + 0.002 * t, 2.31 - 0.01 * t) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [30, 60, 200])
def test_a_steep_fall_before_is_no_noise(n: int, seed: int) -> None:
    """Scores that begin at zero: what bends as it falls says nothing of the noise at the bottom."""
    t = np.arange(n) / n
    noise = 0.004 * np.random.default_rng(seed).normal(size=n)
    val = 1.8 + 11 / (1 + np.exp((t - 0.1) / 0.015)) + 0.8 * np.maximum(t - 0.2, 0) + noise
    bad = judged(val, 14 * np.exp(-t / 0.06))
    assert bad is not None
    assert bad.at < 0.65 * n
    assert judged(val - 0.8 * np.maximum(t - 0.2, 0), 14 * np.exp(-t / 0.06)) is None


def test_five_validations_have_to_be_in_perfect_order() -> None:
    """Any other order comes about by chance more often than once in fifty times."""
    train = np.array([2.0, 0.9, 0.6, 0.4, 0.3, 0.2])
    rises = np.array([1.00, 1.00, 1.10, 1.21, 1.31, 1.42])
    assert judged(rises, train) is not None
    assert judged(rises[[0, 1, 2, 4, 3, 5]], train) is None


def test_a_rise_in_perfect_order_is_told_in_half_the_time() -> None:
    """Five in a hundred of what was gained, without any noise, are worth a word."""
    t = np.arange(60) / 60
    val = 0.5 + 2 * np.exp(-t / 0.05) + 0.5 * np.maximum(t - 0.4, 0)
    bad = judged(val, 2.5 * np.exp(-t / 0.05))
    assert bad is not None
    assert bad.at <= 0.53 * 60


def test_what_was_learnt_before_the_first_validation_counts() -> None:
    """Two percent of all that training has come down are not worth a word, in some noise."""
    train = np.array([0.25, 0.15, 0.11, 0.08, 0.06, 0.05, 0.04, 0.03, 0.03, 0.02])
    val = np.array([0.13, 0.10, 0.08, 0.076, 0.082, 0.089, 0.090, 0.095, 0.101, 0.105])

    def begun(first: float) -> Verdict | None:
        context = {"train_loss": train, "start:train_loss": np.full(10, first)}
        return first_bad(follow(Overfitting(), val, context=context))

    assert begun(0.25) is not None
    assert begun(2.3) is None
    assert judged(val, train) is not None


def test_validation_that_never_gained_has_a_lowest_point_by_chance() -> None:
    """Labels that say nothing: whoever looks at 16 validations finds the best among the first."""
    train = 2.4 - 0.1 * np.arange(16) / 16
    told = [
        judged(2.3 + 0.05 * np.random.default_rng(seed).normal(size=16), train)
        for seed in range(120)
    ]
    assert sum(bad is not None for bad in told) <= 3
