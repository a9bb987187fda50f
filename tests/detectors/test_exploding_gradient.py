"""Gradient norms that rise and stay, against those that spike, wander or were always large."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.exploding_gradient import BLOCK, ExplodingGradient
from monitor.points import Floats, Health
from tests.detectors.following import first_bad, follow, healths, window_of

N = 1500


def noise(seed: int, sigma: float = 0.5) -> Floats:
    result: Floats = np.exp(sigma * np.random.default_rng(seed).normal(size=N))
    return result


def fires(values: Floats, loss: Floats | None = None) -> bool:
    context = None if loss is None else {"train_loss": loss}
    return first_bad(follow(ExplodingGradient(), values, context=context)) is not None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_rise_by_orders_of_magnitude_that_stays(seed: int, scale: float) -> None:
    t = np.arange(N)
    assert fires(scale * noise(seed) * np.where(t > 700, 1e4, 1.0))
    assert fires(scale * noise(seed) * np.exp(np.maximum(t - 700, 0) * 0.05))
    assert fires(scale * noise(seed) * 10 ** np.clip((t - 400) / 200, 0, 4))
    assert fires(scale * noise(seed) * (1 + t / 50) ** 3)  # from the start and without an end


@pytest.mark.parametrize("seed", range(5))
def test_look_alikes_stay_quiet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(N)
    spikes = np.where(rng.random(N) < 0.02, 10.0 ** rng.uniform(2, 6, N), 1.0)
    assert not fires(noise(seed) * spikes)
    skipped = noise(seed)
    skipped[rng.random(N) < 0.05] = np.inf
    skipped[5:8] = np.inf
    assert not fires(skipped)
    assert not fires(1e6 * noise(seed))
    assert not fires(noise(seed, 1.5))
    assert not fires(noise(seed) * np.exp(-t / 100) + 1e-3)
    assert not fires(noise(seed) * (1 + t / 50))
    assert not fires(noise(seed) * np.where((t > 500) & (t < 508), 1e5, 1.0))


def test_a_plateau_that_breaks_is_good_news() -> None:
    t = np.arange(N)
    norm = noise(0) * np.where(t > 700, 1.0, 1e-3)
    loss = np.where(t > 700, 2.3 * np.exp(-(t - 700) / 300), 2.3) + 0.001 * noise(1)
    assert fires(norm)
    assert not fires(norm, loss)
    assert fires(norm, np.where(t > 700, 5.0, 2.3))


def test_verdicts_come_at_the_end_of_blocks() -> None:
    found = healths(follow(ExplodingGradient(), noise(0)[:200]))
    known = np.flatnonzero(found != Health.UNKNOWN)
    assert len(known)
    assert ((known + 1) % BLOCK == 0).all()


def test_evidence_gives_levels_and_the_onset() -> None:
    values = noise(0) * np.where(np.arange(N) >= 704, 1e4, 1.0)
    bad = first_bad(follow(ExplodingGradient(), values))
    assert bad is not None
    assert bad.at <= 729
    assert bad.evidence is not None
    assert 1e3 < bad.evidence.value < 1e5
    assert bad.evidence.onset_step is not None
    assert abs(bad.evidence.onset_step - 704) <= BLOCK


@pytest.mark.parametrize("seed", range(3))
def test_a_rise_that_takes_thousands_of_points(seed: int) -> None:
    t = np.arange(6000)
    scatter = np.exp(0.3 * np.random.default_rng(seed).normal(size=len(t)))
    slow = scatter * np.exp(np.clip((t - 3000) / 350, 0, 6))
    assert fires(slow)
    assert not fires(slow, loss=5 - t / 2000), "while the loss falls"
    assert not fires(scatter * np.exp(np.clip((t - 3000) / 350, 0, 3.5))), "thirtyfold"


def test_it_can_tell_which_norms_never_explode() -> None:
    detector = ExplodingGradient()
    memory = detector.fold(detector.begin(), window_of(noise(0))).memory
    level = float(np.median(noise(0)))
    ((low, high),) = detector.never_bad_after(memory)
    assert level / 100 < low < level / 3
    assert 2 * level < high < 100 * low
    assert detector.never_bad_after(detector.begin()) == ()
    outlier = detector.fold(
        memory, window_of(np.array([100 * level]))
    ).memory  # in a block that has begun
    assert detector.never_bad_after(outlier) == ()


def test_that_range_does_not_change_with_each_block() -> None:
    detector, norms = ExplodingGradient(), noise(1)
    memory, found = detector.begin(), set()
    for begin in range(0, len(norms), 10):
        memory = detector.fold(memory, window_of(norms[begin : begin + 10])).memory
        found.add(detector.never_bad_after(memory))
    assert len(found) <= 4
