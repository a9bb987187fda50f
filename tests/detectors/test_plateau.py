"""Plateau: a noise floor at constant rate, and all that looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.plateau import Plateau
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow

N = 2000
T = np.arange(N) / N
NOISE = np.random.default_rng(0).normal(size=N)
FLOOR = 0.5 + 1.8 * np.exp(-T / 0.05) + 0.08 * NOISE


def judged(values: Floats, lr: Floats | None = None) -> Verdict | None:
    rates = np.full(len(values), 1e-3) if lr is None else lr
    return first_bad(follow(Plateau(), values, context={"learning_rate": rates}))


def test_a_noise_floor_is_named_with_its_onset() -> None:
    bad = judged(FLOOR)
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.value == pytest.approx(0.5, abs=0.02)
    assert bad.evidence.onset_step is not None
    assert 100 < bad.evidence.onset_step < 1000


@pytest.mark.parametrize("seed", range(3))
def test_the_rate_was_lowered_already(seed: int) -> None:
    cosine = 1e-3 * 0.5 * (1 + np.cos(np.pi * T))
    stepped = np.where(T > 0.25, 1e-4, 1e-3)
    assert judged(FLOOR, stepped) is None or judged(FLOOR, stepped).at < N // 4  # type: ignore[union-attr]
    late = judged(FLOOR, cosine)
    assert late is None or late.at < N // 2


@pytest.mark.parametrize(
    "values",
    [
        2.3 * np.exp(-T / 0.02) + 1e-4 * np.abs(NOISE),
        2.303 + 0.003 * NOISE,
        2.303 + 0.5 * np.exp(-np.arange(N) / 2) + 0.003 * NOISE,
        1.2 + 0.15 * NOISE,
        3 - 2 * T + 0.1 * NOISE,
        2.3 / (1 + 50 * T) ** 0.3 + 0.02 * NOISE,
        0.5 + 1.8 * np.exp(-T / 0.05) + 0.3 * np.abs((T * 5) % 1 - 0.5) + 0.02 * NOISE,
    ],
    ids=["near zero", "chance", "first fall", "fine-tuning", "linear", "power law", "cyclic"],
)
def test_look_alikes(values: Floats) -> None:
    assert judged(values) is None


def test_a_loss_that_does_not_move_at_all_stands_still_without_noise() -> None:
    """As a triplet loss does at its margin, once all embeddings are the same."""
    collapsed = 0.5 + np.maximum(0.6 * np.exp(-T / 0.03) + 0.02 * NOISE, 0) * (T < 0.1)
    bad = judged(collapsed)
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.value == 0.5
    learnt = collapsed - 0.5
    assert judged(learnt) is None, "nothing is left to learn"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_a_floor_far_below_a_huge_first_loss(seed: int, scale: float) -> None:
    """Squared errors of ratings: 13 at first, and a rate that cannot go below 0.2."""
    noise = np.random.default_rng(seed).normal(size=N)
    loss = 0.2 + 13 * np.exp(-T / 0.02) + 1.5 * np.exp(-T / 0.06) + 0.03 * noise
    bad = judged(scale * loss)
    assert bad is not None
    assert bad.at < 0.85 * N
    falling = 0.1 + 13 * np.exp(-T / 0.02) + 1.5 / (1 + 20 * T) + 0.03 * noise
    assert judged(scale * falling) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [500, 1500, 5000])
def test_half_of_what_batches_differ(n: int, seed: int) -> None:
    """In noise of a sixth of all that was gained the floor is told by two thirds of the run."""
    t = np.arange(n) / n
    noise = np.random.default_rng(seed).normal(size=n)
    bad = judged(0.55 + 0.6 * np.exp(-t / 0.06) + 0.1 * noise)
    assert bad is not None or n == 500
    assert judged(0.55 + 0.6 / (1 + 12 * t) ** 0.8 + 0.02 * noise) is None
