"""Sigmoid and tanh layers at their bounds, and those that belong there."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.saturated_units import SaturatedUnits, hidden
from monitor.points import Floats, Health, Layers
from tests.detectors.following import first_bad, follow, healths


def net(*kinds: str) -> Layers:
    return Layers(tuple(f"{i}" for i in range(len(kinds))), kinds)


TANH = net(*("Linear", "Tanh") * 4, "Linear")


def shares(layers: Layers, value: Floats | float, steps: int = 40) -> Floats:
    """[steps, N]: of the bounded activations, in order; NaN for all others."""
    bounded = [kind in {"Tanh", "Sigmoid", "Hardsigmoid", "Softmax"} for kind in layers.kinds]
    row = np.full(len(bounded), np.nan)
    row[bounded] = value
    return np.tile(row, (steps, 1))


def test_saturated_from_the_start_is_told_after_five_samples() -> None:
    verdicts = follow(SaturatedUnits(), shares(TANH, 0.5), layers=TANH)
    # Within the first 20 steps; later half is what a sure classifier has.
    assert healths(verdicts).tolist() == [0] * 4 + [2] * 16 + [0] * 20
    bad = first_bad(verdicts)
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.layers == ("1", "3", "5", "7")
    assert "4 of 4 hidden sigmoid or tanh layers" in bad.evidence.seen
    assert "50 % at 1 (Tanh)" in bad.evidence.seen


def test_saturated_later_needs_more() -> None:
    values = shares(TANH, 0.0, 200)
    values[100:, 1::2] = 0.6
    assert first_bad(follow(SaturatedUnits(), values, layers=TANH)) is None
    values[150:, 1::2] = 0.9
    bad = first_bad(follow(SaturatedUnits(), values, layers=TANH))
    assert bad is not None
    assert bad.at == 154


def test_the_last_layer_of_a_sure_classifier_is_no_majority() -> None:
    values = shares(TANH, np.array([0.1, 0.2, 0.3, 0.95]), 100)
    assert first_bad(follow(SaturatedUnits(), values, layers=TANH)) is None


def test_a_resumed_run_may_be_sure_already() -> None:
    values, steps = shares(TANH, 0.5), 9000 + np.arange(40)
    assert first_bad(follow(SaturatedUnits(), values, steps, layers=TANH)) is None


@pytest.mark.parametrize(
    "layers",
    [
        net("Linear", "ReLU", "Linear", "Sigmoid"),  # a sure classifier
        net("Linear", "Sigmoid"),
        net("Linear", "Sigmoid", "Tanh", "Sigmoid", "Tanh", "Linear"),  # a recurrent cell
        net("Conv1d", "Tanh", "Sigmoid", "Conv1d", "Conv1d", "Tanh", "Sigmoid", "Conv1d"),
        net(
            "Conv2d",
            "ReLU",
            "AdaptiveAvgPool2d",
            "Conv2d",
            "SiLU",
            "Conv2d",
            "Hardsigmoid",
            "Conv2d",
        ),
        net(
            "Linear", "GELUActivation", "Linear", "Linear", "Tanh", "Dropout", "Linear"
        ),  # a pooler
        net("ConvTranspose2d", "ReLU", "Conv2d", "Tanh", "Conv2d", "LeakyReLU", "Linear"),
        net("Linear", "GELU", "Linear", "Softmax"),  # a sure classifier
        net("Linear", "Hardtanh", "Linear"),
    ],
)
def test_outputs_and_gates_are_left_alone(layers: Layers) -> None:
    found = healths(follow(SaturatedUnits(), shares(layers, 1.0), layers=layers))
    assert (found == Health.UNKNOWN).all()


ATTENTION = net(*("Linear", "Linear", "Softmax", "Linear", "LayerNorm") * 3, "Linear")


def test_attention_that_begins_one_hot() -> None:
    verdicts = follow(SaturatedUnits(), shares(ATTENTION, 0.7), layers=ATTENTION)
    assert healths(verdicts).tolist() == [0] * 4 + [2] * 16 + [0] * 20
    bad = first_bad(verdicts)
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.layers == ("2", "7", "12")
    assert "3 of 3 softmax layers look at one place only in most rows" in bad.evidence.seen


@pytest.mark.parametrize("value", [0.0, 0.3, np.array([0.9, 0.2, 0.1]), np.nan])
def test_attention_that_is_spread_or_sharp_in_one_layer(value: Floats | float) -> None:
    values = shares(ATTENTION, value)
    assert first_bad(follow(SaturatedUnits(), values, layers=ATTENTION)) is None


def test_attention_that_learns_to_be_sharp() -> None:
    values = shares(ATTENTION, 0.99, 100)
    values[:18] = shares(ATTENTION, 0.0, 18)
    assert first_bad(follow(SaturatedUnits(), values, layers=ATTENTION)) is None
    resumed = follow(SaturatedUnits(), values[20:], 5000 + np.arange(80), layers=ATTENTION)
    assert first_bad(resumed) is None


def test_attention_that_spreads_again_is_well() -> None:
    values = shares(ATTENTION, 0.9)
    values[25:] = shares(ATTENTION, 0.1, 15)
    found = healths(follow(SaturatedUnits(), values, layers=ATTENTION)).tolist()
    assert found == [0] * 4 + [2] * 16 + [0] * 5 + [1] * 15


def test_tanh_layers_are_told_before_attention() -> None:
    both = net(*("Linear", "Tanh") * 3, "Softmax", "Linear")
    bad = first_bad(follow(SaturatedUnits(), shares(both, 0.9), layers=both))
    assert bad is not None
    assert bad.evidence is not None
    assert "3 of 3 hidden sigmoid or tanh layers" in bad.evidence.seen


def test_a_batch_norm_between_does_not_make_it_a_gate() -> None:
    layers = net("Linear", "BatchNorm1d", "Sigmoid", "Dropout", "Linear")
    assert hidden(layers).tolist() == [2]
    assert first_bad(follow(SaturatedUnits(), shares(layers, 0.9), layers=layers)) is not None


def test_a_module_that_does_not_run_is_unknown() -> None:
    found = healths(follow(SaturatedUnits(), shares(TANH, np.nan), layers=TANH))
    assert (found == Health.UNKNOWN).all()


@pytest.mark.parametrize("seed", [3, 4])
def test_weights_of_one_and_torchs_own(seed: int) -> None:
    pytest.importorskip("torch")
    from tests.detectors.hooked import HEALTHY, SICK, train

    series = "layer/act_saturated_fraction"
    for name in ("tanh, normals of 1", "sigmoid, normals of 3", "tanh, saturated by the rate"):
        assert first_bad(train(SICK[name][1], seed).judged(SaturatedUnits(), series)) is not None
    for name in ("tanh", "tanh, high rate", "sigmoid, shallow", "tanh autoencoder", "gates open"):
        assert first_bad(train(HEALTHY[name], seed).judged(SaturatedUnits(), series)) is None
