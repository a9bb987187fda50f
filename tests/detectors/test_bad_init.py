"""A signal or gradient whose scale is a geometric series over depth, at the start of a run."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.bad_init import BadInit
from monitor.points import Evidence, Floats, Health, Layers
from tests.detectors.following import Verdict, first_bad, follow, healths
from tests.detectors.registry import CHAIN, DEPTH

DENSE = Layers(names=tuple(f"{i}" for i in range(2 * DEPTH)), kinds=("Linear", "ReLU") * DEPTH)
"""Modules: each layer and its activation."""


def signal(decades: Floats, steps: int = 6, seed: int = 0) -> Floats:
    """[steps, 2 DEPTH]: layers at these decades, activations at 0.7 of them."""
    noise = 0.02 * np.random.default_rng(seed).normal(size=(steps, 2 * len(decades)))
    result: Floats = 10.0 ** (np.repeat(decades, 2) + noise)
    result[:, 1::2] *= 0.7
    return result


GROWING = np.linspace(0.0, 4.0, DEPTH)


def bad(verdicts: list[Verdict]) -> Evidence:
    found = first_bad(verdicts)
    assert found is not None
    assert found.evidence is not None
    return found.evidence


@pytest.mark.parametrize("sign", [1, -1])
def test_a_geometric_series_is_told_at_the_second_step_and_never_again(sign: int) -> None:
    verdicts = follow(BadInit(), signal(sign * GROWING), layers=DENSE)
    assert healths(verdicts).tolist() == [0, 2, 0, 0, 0, 0]
    evidence = bad(verdicts)
    assert evidence.value == pytest.approx(1e4, rel=0.3)
    assert ("grows" if sign > 0 else "shrinks") in evidence.seen
    assert evidence.layers[0] == "14"
    assert set(evidence.layers) <= set(DENSE.names[::2])
    assert "by 3.6" in evidence.seen or "by 3.7" in evidence.seen  # from each to the next


def test_the_first_sampled_step_alone_counts() -> None:
    values = signal(GROWING)
    values[1:] = 1.0  # the first update has repaired it
    assert healths(follow(BadInit(), values, layers=DENSE)).tolist() == [0, 2, 1, 1, 1, 1]
    values = signal(GROWING)
    values[0] = 1.0  # the first update has broken it
    assert first_bad(follow(BadInit(), values, layers=DENSE)) is None


def test_a_resumed_run_has_no_initialisation() -> None:
    values, steps = signal(GROWING), 5000 + np.arange(6)
    assert first_bad(follow(BadInit(), values, steps, layers=DENSE)) is None
    assert first_bad(follow(BadInit(within=6000), values, steps, layers=DENSE)) is not None


@pytest.mark.parametrize(
    "decades",
    [
        np.linspace(0.0, -1.5, DEPTH),  # torch's own, without end
        np.maximum(-0.39 * np.arange(DEPTH), -1.3),  # torch's own, held up by biases
        np.array([0, 0, 0, 0, 0, 0, 0, -5.0]),  # a last layer made small
        np.array([0, -1, -2, -3, -2, -1, 0, 0.5]),  # in and out again
        np.tile([0.0, -2.5], 4),  # branches that are made small
        np.array([0, 0.1, 0.1, 0.2, -4.0, -4.1, -4.1, -4.2]),  # two networks, or a factor between
    ],
)
def test_look_alikes(decades: Floats) -> None:
    for seed in range(5):
        assert first_bad(follow(BadInit(), signal(decades, seed=seed), layers=DENSE)) is None


def test_one_odd_layer_does_not_hide_it() -> None:
    values = signal(GROWING)
    values[:, 6] *= 1e-6
    assert first_bad(follow(BadInit(), values, layers=DENSE)) is not None


def test_three_layers_are_too_few_and_dead_ones_do_not_count() -> None:
    few = Layers(DENSE.names[:6], DENSE.kinds[:6])
    assert (healths(follow(BadInit(), signal(GROWING)[:, :6], layers=few)) == 0).all()
    values = signal(GROWING)
    values[:, :10] = 0.0
    assert (healths(follow(BadInit(), values, layers=DENSE)) == Health.UNKNOWN).all()


def test_gradients_are_told_in_the_direction_in_which_they_flow() -> None:
    free = Layers(CHAIN.names, CHAIN.kinds, CHAIN.shapes)
    shrinking = 16 * 10.0 ** np.tile(np.linspace(-6.0, 0.0, DEPTH), (4, 1))
    evidence = bad(follow(BadInit(change=1e4), shrinking, layers=free))
    assert "the gradient shrinks 1e+06-fold" in evidence.seen
    assert evidence.layers[0] == "layers.0.weight"
    growing = shrinking[:, ::-1].copy()
    assert "the gradient grows" in bad(follow(BadInit(change=1e4), growing, layers=free)).seen


def test_gradients_that_a_sigmoid_squashes_are_not_its_matter() -> None:
    shrinking = 16 * 10.0 ** np.tile(np.linspace(-6.0, 0.0, DEPTH), (4, 1))
    assert first_bad(follow(BadInit(), shrinking, layers=CHAIN)) is None
    assert first_bad(follow(BadInit(), shrinking[:, ::-1].copy(), layers=CHAIN)) is not None


def test_units_that_are_all_alike() -> None:
    found = follow(BadInit(), np.array([0.0, 2.0, 2.0]), tag="health/layers_of_equal_units")
    assert healths(found).tolist() == [1, 2, 2]
    evidence = bad(found)
    assert evidence.value == 2.0
    assert (
        "all units of 2 layers have the same weights and (nearly) the same gradient"
        in evidence.seen
    )
    assert "1 layer " in bad(follow(BadInit(), np.array([1.0]))).seen


def test_of_a_resumed_run_nothing_is_said_of_its_units() -> None:
    found = follow(BadInit(), np.array([3.0, 3.0]), 5000 + np.arange(2))
    assert (healths(found) == Health.UNKNOWN).all()


GUESS = "health/cost_over_guess"


@pytest.mark.parametrize("cuts", [(), (1, 3, 5)])
def test_first_predictions_that_cost_far_more_than_a_guess(cuts: tuple[int, ...]) -> None:
    values = np.array([30.7, 30.8, 29.9, 29.0, 28.0, 27.0])
    verdicts = follow(BadInit(), values, tag=GUESS, cuts=cuts)
    assert healths(verdicts).tolist() == [0, 0, 0, 0, 0, 2]
    evidence = bad(verdicts)
    assert evidence.value == 30.7
    assert "30.7 times what guessing would" in evidence.seen
    assert evidence.onset_step == 0


def test_the_first_predictions_alone_count() -> None:
    soon = np.array([30.7, 1.1, 1.0, 1.0, 1.0, 1.0])
    assert healths(follow(BadInit(), soon, tag=GUESS)).tolist() == [0, 1, 1, 1, 1, 2]
    thrown = np.array([1.0, 13.5, 20.0, 20.0, 20.0, 20.0])
    assert first_bad(follow(BadInit(), thrown, tag=GUESS)) is None


@pytest.mark.parametrize("value", [1.0, 0.01, 4.0, np.nan])
def test_a_guess_and_what_was_trained_before_are_no_fault(value: float) -> None:
    assert first_bad(follow(BadInit(), np.full(6, value), tag=GUESS)) is None


def test_the_first_predictions_of_a_resumed_run_say_nothing() -> None:
    values, steps = np.full(6, 30.0), 5000 + np.arange(6)
    assert first_bad(follow(BadInit(), values, steps, tag=GUESS)) is None
