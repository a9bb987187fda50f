"""Outputs far from 1 in front of normalisations."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.bad_init_hidden_by_norm import BadInitHiddenByNorm
from monitor.points import Floats, Health, Layers
from tests.detectors.following import first_bad, follow, healths

DEPTH = 6


def layers(norm: str = "BatchNorm2d", weights: str = "Conv2d") -> Layers:
    names = tuple(f"{i}" for i in range(3 * DEPTH + 1))
    return Layers(names, (weights, norm, "ReLU") * DEPTH + ("Linear",))


def outputs(before: Floats | float, steps: int = 5, seed: int = 0) -> Floats:
    """[steps, 3 DEPTH + 1]: before the norms, behind them 1, behind the activations 0.7."""
    noise = np.exp(0.03 * np.random.default_rng(seed).normal(size=(steps, 3 * DEPTH + 1)))
    row = np.ones(3 * DEPTH + 1)
    row[0:-1:3], row[2::3] = before, 0.7
    result: Floats = row * noise
    return result


@pytest.mark.parametrize("before", [5.0, 17.0, 0.01, np.array([3.0, 8, 10, 8, 1.0, 9])])
def test_factors_far_from_one_are_told_at_the_second_step(before: float) -> None:
    verdicts = follow(BadInitHiddenByNorm(), outputs(before), layers=layers())
    assert healths(verdicts).tolist() == [0, 2, 0, 0, 0]
    bad = first_bad(verdicts)
    assert bad is not None
    assert bad.evidence is not None
    assert set(bad.evidence.layers) == {"0", "3", "6", "9", "12", "15"}
    assert ("grow" if np.mean(before) > 1 else "shrink") in bad.evidence.seen


def test_the_product_is_what_the_norms_hide() -> None:
    bad = first_bad(follow(BadInitHiddenByNorm(), outputs(10.0), layers=layers()))
    assert bad is not None
    assert bad.evidence is not None
    assert float(bad.evidence.facts["total"]) == pytest.approx(1e6, rel=0.2)
    assert "e+0" in bad.evidence.seen


@pytest.mark.parametrize(
    "before",
    [
        1.0,  # He
        0.41,  # torch's own
        0.1,  # generators
        np.array([1.0, 2.0, 1.0, 4.0, 1.0, 6.0]),  # a residual stream that grows
        np.array([20.0, 1.0, 1.0, 1.0, 1.0, 1.0]),  # one odd layer
        np.array([0.001, 0.001, 0.4, 0.4, 0.4, 0.001]),
    ],
)
def test_look_alikes(before: Floats | float) -> None:
    for seed in range(5):
        values = outputs(before, seed=seed)
        assert first_bad(follow(BadInitHiddenByNorm(), values, layers=layers())) is None


def test_small_branches_before_layer_norms_are_made_so_on_purpose() -> None:
    small, large = outputs(0.002), outputs(30.0)
    norm = layers("LayerNorm", "Linear")
    assert first_bad(follow(BadInitHiddenByNorm(), small, layers=norm)) is None
    assert first_bad(follow(BadInitHiddenByNorm(), large, layers=norm)) is not None


def test_without_norms_right_behind_it_knows_nothing() -> None:
    bare = layers("Dropout")
    found = healths(follow(BadInitHiddenByNorm(), outputs(30.0), layers=bare))
    assert (found == Health.UNKNOWN).all()


def test_a_resumed_run_has_no_initialisation() -> None:
    steps = 5000 + np.arange(5)
    assert first_bad(follow(BadInitHiddenByNorm(), outputs(9.0), steps, layers=layers())) is None
