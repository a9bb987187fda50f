"""Spikes of a loss: many, one that left its mark, one that is over, and scatter that is none."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.loss_spike import LossSpike
from monitor.points import Floats
from tests.detectors.following import first_bad, follow
from tests.detectors.scenarios import falling

N = 600


def curve(seed: int, *spikes: int, height: float = 15.0) -> Floats:
    loss = falling(np.random.default_rng(seed), N)
    loss[list(spikes)] += height
    return loss


def patterns(loss: Floats) -> set[str]:
    return {
        p
        for p in ("single", "repeated", "lasting")
        if first_bad(follow(LossSpike(pattern=p), loss))
    }


@pytest.mark.parametrize("seed", range(3))
def test_many_spikes_are_a_heavy_tail(seed: int) -> None:
    bad = first_bad(follow(LossSpike(pattern="repeated"), curve(seed, 150, 290, 340, 520)))
    assert bad is not None
    assert bad.evidence is not None
    assert 340 <= bad.at < 365
    assert bad.evidence.onset_step == pytest.approx(150, abs=4)


@pytest.mark.parametrize("seed", range(3))
def test_one_spike_that_is_over(seed: int) -> None:
    loss = curve(seed, 300)
    assert patterns(loss) == {"single"}
    bad = first_bad(follow(LossSpike(), loss))
    assert bad is not None
    assert bad.evidence is not None
    assert "has come back" in bad.evidence.seen


def test_one_spike_that_left_its_mark() -> None:
    loss = curve(0, 300)
    loss[301:] += 1.0
    assert "lasting" in patterns(loss)


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0.0), (1e6, 0.0), (1.0, -50.0)])
def test_other_units(factor: float, shift: float) -> None:
    assert patterns(curve(1, 200, 300, 400, 500) * factor + shift) >= {"repeated"}
    assert patterns(curve(1) * factor + shift) == set()


@pytest.mark.parametrize("seed", range(3))
def test_look_alikes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(N) / N
    quiet = [
        falling(rng, N) * np.exp(0.8 * rng.normal(size=N)),  # tiny batches
        falling(rng, N) * rng.gamma(1.0, 1.0, size=N),
        0.02 * rng.normal(size=N) - 0.01,
        1e5 * np.exp(-np.arange(N) / 4) + falling(rng, N),  # the first steps
        0.2 + 0.5 * (1 - (t * 4) % 1) + 2 * np.exp(-t / 0.1) + 0.05 * rng.normal(size=N),
        curve(seed, 300, height=0.3),  # mild
    ]
    for loss in quiet:
        assert patterns(loss) == set()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [300, 1500, 5000])
def test_a_tail_so_heavy_that_it_hides_its_own_spikes(n: int, seed: int) -> None:
    """Squares of Student's t with one degree of freedom: one batch in twenty is far out, too."""
    rng = np.random.default_rng(seed)
    outliers = 0.002 * rng.standard_t(1.0, size=(n, 32)) ** 2
    loss = 0.1 + np.exp(-np.arange(n) / (0.1 * n)) + outliers.mean(axis=1)
    assert first_bad(follow(LossSpike(), loss)) is not None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [0.3, 0.6, 0.8])
def test_log_normal_scatter_about_what_is_learnt_has_none(width: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = 0.1 + np.exp(-np.arange(4000) / 400)
    loss = level * np.exp(width * rng.normal(size=4000))
    assert first_bad(follow(LossSpike(), loss)) is None
