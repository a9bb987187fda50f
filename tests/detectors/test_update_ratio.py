"""Weights that a step throws away or hardly moves, against the usual first and last steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.detectors.update_ratio import UpdateRatio
from monitor.points import Floats, Layers
from tests.detectors.following import Verdict, first_bad, follow

LAYERS = Layers(
    names=("embed.weight", "fc1.weight", "fc1.bias", "norm.weight", "fc2.weight", "fc3.weight"),
    kinds=("Embedding", "Linear", "Linear", "LayerNorm", "Linear", "Linear"),
    shapes=((100, 16), (16, 16), (16,), (16,), (16, 16), (16, 16)),
    followed_by=("",) * 6,
)
N, T = len(LAYERS.names), 120


def usual(seed: int) -> Floats:
    """Adam at 0.001: a few percent at first, then less."""
    rng = np.random.default_rng(seed)
    steps = np.arange(1, T + 1)[:, None]
    return np.asarray(0.04 / steps**0.5 * np.exp(0.3 * rng.normal(size=(T, N))), np.float64)


def verdict(values: Floats, side: str) -> Verdict | None:
    return first_bad(follow(UpdateRatio(side=side), values, layers=LAYERS))


@pytest.mark.parametrize("seed", range(5))
def test_the_first_steps_throw_a_weight_away(seed: int) -> None:
    values = usual(seed)
    values[:, 0] = 0.6 / np.arange(1, T + 1) ** 0.5
    bad = verdict(values, "high")
    assert bad is not None
    assert bad.at == 5
    assert bad.evidence is not None
    assert bad.evidence.layers == ("embed.weight",)
    assert verdict(values, "low") is None


def test_steps_that_are_long_at_first_only_leave_something_of_the_weight() -> None:
    """RMSprop divides by a mean of squares that begins at zero."""
    values = usual(0)
    values[:, 1] = 0.11 + 0.08 / np.arange(1, T + 1)
    assert verdict(values, "high") is None
    values[:, 1] *= 2
    assert verdict(values, "high") is not None


def test_a_model_of_embeddings_only_grows_to_its_solution() -> None:
    """Matrix factorisation: what it begins with is small noise that means nothing."""
    factors = Layers(
        ("user.weight", "item.weight"), ("Embedding",) * 2, ((90, 8), (40, 8)), ("",) * 2
    )
    values = np.full((T, 2), 0.4)
    assert first_bad(follow(UpdateRatio(side="high"), values, layers=factors)) is None
    one_dense = replace(factors, kinds=("Embedding", "Linear"))
    assert first_bad(follow(UpdateRatio(side="high"), values, layers=one_dense)) is not None


@pytest.mark.parametrize("seed", range(5))
def test_the_last_layer_alone_may_change_more(seed: int) -> None:
    values = usual(seed)
    values[:, -1] = 0.3
    assert verdict(values, "high") is None
    with_another = values.copy()
    with_another[:, 1] = 0.2
    bad = verdict(with_another, "high")
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.layers == ("fc3.weight", "fc1.weight")
    values[:, -1] = 0.6
    assert verdict(values, "high") is not None
    # A single output is a vector, as a bias is.
    one = replace(LAYERS, shapes=(*LAYERS.shapes[:-1], (1, 16)))
    assert first_bad(follow(UpdateRatio(side="high"), values, layers=one)) is None


@pytest.mark.parametrize("seed", range(5))
def test_and_so_may_the_last_layer_of_a_part(seed: int) -> None:
    names = tuple(f"{part}.{i}.weight" for part in ("actor", "critic") for i in (0, 2, 4))
    two = Layers(names, ("Linear",) * 6, ((16, 16),) * 6, ("",) * 6)
    values = usual(seed)
    values[:, 2] = 0.3
    assert first_bad(follow(UpdateRatio(side="high"), values, layers=two)) is None
    values[:, 1] = 0.3
    bad = first_bad(follow(UpdateRatio(side="high"), values, layers=two))
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.layers == ("actor.2.weight", "actor.4.weight")


@pytest.mark.parametrize("seed", range(5))
def test_a_weight_that_hardly_moves_beside_the_others(seed: int) -> None:
    values = usual(seed)
    values[:, 1] *= 1e-6
    bad = verdict(values, "low")
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.layers == ("fc1.weight",)
    assert verdict(values, "high") is None


@pytest.mark.parametrize("seed", range(20))
def test_look_alikes_stay_quiet(seed: int) -> None:
    fall = 10.0 ** -np.linspace(0, 7, T)[:, None]
    slow_embedding, zero, biases = usual(seed), usual(seed), usual(seed)
    slow_embedding[:, 0] *= 1e-5
    # A weight that begins at zero: its first update is all that it is.
    zero[:, 4] = 1.0 / np.arange(T)[:, None][:, 0].clip(1)
    zero[0, 4] = np.nan
    biases[:, 2:4] = 3.0
    frozen = usual(seed)
    frozen[:, 1] = 0.0
    warm = usual(seed) * np.minimum(np.arange(T) / 60, 1)[:, None]
    unknown = np.full((T, N), np.nan)
    for values in (usual(seed), usual(seed) * fall, slow_embedding, biases, frozen, warm, unknown):
        assert verdict(values, "high") is None
        assert verdict(values, "low") is None
    assert verdict(zero, "high") is None


def decayed(values: Floats) -> Verdict | None:
    """Of the part that decay takes at each step."""
    return first_bad(follow(UpdateRatio(), values, tag="health/decay_per_step"))


def test_weights_that_decay_takes_within_a_hundred_steps() -> None:
    bad = decayed(np.full(30, 0.09))
    assert bad is not None
    assert bad.at == 5
    assert bad.evidence is not None
    assert bad.evidence.value == 0.09
    assert "8.019e-05 would be left after 100 steps" in bad.evidence.seen
    late = decayed(np.where(np.arange(80) < 50, 1e-4, 0.05))
    assert late is not None
    assert late.at == 55


def test_usual_decay_and_a_peak_of_the_rate_are_left_alone() -> None:
    assert decayed(np.full(60, 2e-3)) is None
    assert decayed(np.zeros(60)) is None
    assert decayed(np.where(np.arange(60) % 20 < 4, 0.02, 1e-3)) is None
