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
