"""A descent that does not bend, and those that do."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.slow_learning import SlowLearning
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow

N = 1000
T = np.arange(N) / N


def judged(loss: Floats, **context: Floats) -> Verdict | None:
    return first_bad(follow(SlowLearning(), loss, context=context))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("factor", "shift"), [(1.0, 0.0), (1e-6, 0.0), (1e6, 0.0), (1.0, -20.0)])
def test_an_exponential_that_has_hardly_begun(seed: int, factor: float, shift: float) -> None:
    loss = 2.3 * np.exp(-T / 8) + 0.01 * np.random.default_rng(seed).normal(size=N)
    assert judged(loss * factor + shift) is not None


@pytest.mark.parametrize("seed", range(3))
def test_look_alikes(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=N)
    quiet = [
        0.2 + 2 / (1 + 20 * T) ** 0.6 + 0.02 * noise,
        0.4 + 1.9 * np.exp(-T / 0.2) + 0.02 * noise,
        2.3 - 0.05 * T + 0.2 * noise,
        2.3 + 0.02 * noise,
    ]
    for loss in quiet:
        assert judged(loss) is None


def test_a_rate_that_changes_and_runs_with_a_reward() -> None:
    loss = 2.3 - 0.5 * T
    assert judged(loss) is not None
    assert judged(loss, learning_rate=1e-3 * (0.1 + T)) is None
    assert judged(loss, reward=T) is None
