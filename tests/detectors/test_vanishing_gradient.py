"""Gradients that vanish with depth, on real networks and around the odd layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.detectors.vanishing_gradient import SETTLED, VanishingGradient
from monitor.points import Floats, Health, Layers
from tests.detectors.following import first_bad, follow, healths
from tests.detectors.recipes import Recipe, train
from tests.detectors.registry import CHAIN, DEPTH


def norms(decades: Floats, steps: int = 20, seed: int = 0) -> Floats:
    noise = 0.1 * np.random.default_rng(seed).normal(size=(steps, len(decades)))
    result: Floats = 16 * 10.0 ** (decades + noise)
    return result


FALLING = np.linspace(-8.0, -1.0, DEPTH)


def test_a_geometric_fall_is_bad_after_five_samples_and_named() -> None:
    verdicts = follow(VanishingGradient(), norms(FALLING), layers=CHAIN)
    assert healths(verdicts).tolist() == [0] * (SETTLED + 4) + [2] * 6
    bad = first_bad(verdicts)
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.layers[0] == "layers.0.weight"
    assert "layers.7.weight" not in bad.evidence.layers
    assert "7 of them run into a sigmoid or tanh" in bad.evidence.seen
    assert 1e6 < bad.evidence.value < 1e8


def test_what_the_first_steps_heal_is_no_fault() -> None:
    values = norms(FALLING, steps=40)
    values[SETTLED + 2 :] = norms(np.full(DEPTH, -3.0), steps=38 - SETTLED)
    assert first_bad(follow(VanishingGradient(), values, layers=CHAIN)) is None


@pytest.mark.parametrize("at", [2, 4, 6])
def test_two_networks_side_by_side_are_no_series(at: int) -> None:
    values = norms(np.where(np.arange(DEPTH) < at, -9.0, -2.0), steps=40)
    assert first_bad(follow(VanishingGradient(), values, layers=CHAIN)) is None


def parts(*names: str) -> Layers:
    """The chain, whose layers belong to these parts."""
    each = [name for name, some in zip(names, np.array_split(np.arange(DEPTH), len(names)),
        strict=True) for _ in some]  # fmt: skip
    return replace(CHAIN, names=tuple(f"net.{part}.{i}.weight" for i, part in enumerate(each)))


def test_what_lies_between_parts_is_no_matter_of_depth() -> None:
    apart = np.array([-6.0, -5.6, -5.2, -5.0, -2.4, -2.2, -1.8, -1.6])
    two = parts("actor", "critic")
    assert first_bad(follow(VanishingGradient(), norms(apart), layers=two)) is None
    assert first_bad(follow(VanishingGradient(), norms(apart), layers=CHAIN)) is not None


def test_a_chain_of_parts_is_a_chain() -> None:
    for names in (("encoder", "decoder"), ("0", "1", "2"), ("fc1", "fc2", "fc3", "fc4")):
        found = follow(VanishingGradient(), norms(FALLING), layers=parts(*names))
        assert first_bad(found) is not None


@pytest.mark.parametrize("odd", [0, 3, 7])
def test_one_odd_layer_neither_hides_nor_makes_it(odd: int) -> None:
    falling, flat = FALLING.copy(), np.full(DEPTH, -3.0)
    falling[odd] += 4
    flat[odd] -= 6
    assert first_bad(follow(VanishingGradient(), norms(flat), layers=CHAIN)) is None
    if odd == 3:
        assert first_bad(follow(VanishingGradient(), norms(falling), layers=CHAIN)) is not None


@pytest.mark.parametrize("frozen", [0.0, np.nan])
def test_frozen_layers_do_not_count(frozen: float) -> None:
    values = norms(np.full(DEPTH, -3.0))
    values[:, :4] = frozen
    assert first_bad(follow(VanishingGradient(), values, layers=CHAIN)) is None
    values[:, :6] = frozen  # two layers make no series
    found = healths(follow(VanishingGradient(), values, layers=CHAIN))
    assert (found == Health.UNKNOWN).all()


def test_small_gradients_everywhere_are_a_converged_run() -> None:
    values = norms(np.full(DEPTH, -12.0))
    assert first_bad(follow(VanishingGradient(), values, layers=CHAIN)) is None


def test_biases_norms_and_embeddings_are_left_out() -> None:
    layers = Layers(
        names=("embed.weight", "norm.weight", *CHAIN.names, "head.bias"),
        kinds=("Embedding", "LayerNorm", *CHAIN.kinds, "Linear"),
        shapes=((50000, 64), (64,), *CHAIN.shapes, (10,)),
        followed_by=("", "", *CHAIN.followed_by, ""),
    )
    values = norms(np.array([-14.0, -12.0, *np.full(DEPTH, -3.0), 5.0]))
    assert first_bad(follow(VanishingGradient(), values, layers=layers)) is None


def test_without_shapes_nothing_is_known() -> None:
    found = healths(follow(VanishingGradient(), norms(FALLING), layers=replace(CHAIN, shapes=())))
    assert (found == Health.UNKNOWN).all()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("depth", [5, 8, 20])
def test_deep_sigmoid_networks_vanish(depth: int, seed: int) -> None:
    log = train(Recipe(activation="sigmoid", depth=depth, seed=seed, steps=30))
    bad = first_bad(follow(VanishingGradient(), log.layer_grads, layers=log.layers))
    assert bad is not None
    assert bad.evidence is not None
    assert "Sigmoid" in bad.evidence.facts["saturating"]
    assert bad.evidence.layers[0] == "0.weight"


HEALTHY = [
    Recipe(depth=5, xavier=True),
    Recipe(depth=12, xavier=True),
    Recipe(activation="tanh", depth=5),
    Recipe(activation="tanh", depth=12, xavier=True),
    Recipe(activation="sigmoid", depth=2),
    Recipe(model="resnet", depth=8),
    Recipe(model="resnet", depth=20),
    Recipe(model="conv", depth=4),
    Recipe(model="gpt", depth=4),
    Recipe(model="rnn", task="memory"),
]


@pytest.mark.parametrize("recipe", HEALTHY, ids=lambda r: f"{r.model}-{r.activation}-{r.depth}")
def test_healthy_networks_do_not(recipe: Recipe) -> None:
    log = train(replace(recipe, steps=40))
    assert first_bad(follow(VanishingGradient(), log.layer_grads, layers=log.layers)) is None


@pytest.mark.parametrize(("since", "onset"), [(0, 0), (3, 3), (30, 30)])
def test_it_is_told_since_when(since: int, onset: int) -> None:
    values = norms(FALLING, steps=60)
    values[:since] = norms(np.full(DEPTH, -3.0), steps=since)
    bad = first_bad(follow(VanishingGradient(), values, 10 * np.arange(60), layers=CHAIN))
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.onset_step == 10 * onset
    assert f"since step {10 * onset};" in bad.evidence.seen


def test_one_look_that_was_well_begins_it_anew() -> None:
    values = norms(FALLING, steps=40)
    values[4] = norms(np.full(DEPTH, -3.0), steps=1)
    bad = first_bad(follow(VanishingGradient(), values, layers=CHAIN))
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.onset_step == 5
