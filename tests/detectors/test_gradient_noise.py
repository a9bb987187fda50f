"""Loss and gradient that are mostly chance, against small batches that learn and losses at rest."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.gradient_noise import GradientNoise
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow

N = 1500


def batches(seed: int, size: int, gain: float, floor: float = 1.0) -> tuple[Floats, Floats]:
    """Loss and gradient norm of ``size`` examples with squared errors; ``gain``: learnt in all."""
    rng = np.random.default_rng(seed)
    level = floor + gain * np.exp(-np.arange(N) / 300)
    errors = rng.normal(size=(N, size)) * np.sqrt(level)[:, None]
    # In many dimensions inputs are at right angles to each other.
    return (errors**2).mean(axis=1), np.sqrt((errors**2).sum(axis=1)) / size


def verdict(loss: Floats, norms: Floats | None) -> Verdict | None:
    context = {} if norms is None else {"grad_norm": norms}
    return first_bad(follow(GradientNoise(), loss, context=context))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-6, 0.0), (1e6, 0.0), (1.0, -50.0)])
def test_single_examples_of_which_nothing_comes(seed: int, scale: float, offset: float) -> None:
    loss, norms = batches(seed, 1, 0.1)
    bad = verdict(scale * loss + offset, scale * norms)
    assert bad is not None
    assert bad.at <= 1200
    assert bad.evidence is not None
    assert "scatter" in bad.evidence.seen


@pytest.mark.parametrize("seed", range(10))
def test_norms_that_are_told_at_every_tenth_step_only(seed: int) -> None:
    loss, norms = batches(seed, 1, 0.1)
    assert verdict(loss, norms[np.arange(N) // 10 * 10]) is not None


@pytest.mark.parametrize("seed", range(10))
def test_look_alikes_stay_quiet(seed: int) -> None:
    # Small batches that learn.
    for size in (1, 2, 4):
        assert verdict(*batches(seed, size, 4.0)) is None
    # Larger ones at rest.
    for size in (16, 64):
        assert verdict(*batches(seed, size, 0.0)) is None
    # Norms that nobody tells, and those that clipping made alike.
    loss, norms = batches(seed, 1, 0.0)
    assert verdict(loss, None) is None
    assert verdict(loss, np.minimum(norms, 0.01)) is None
    # Too early to say.
    assert verdict(loss[:700], norms[:700]) is None
