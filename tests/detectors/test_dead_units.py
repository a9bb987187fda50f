"""Units that are zero for every input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.detectors.dead_units import DeadUnits
from monitor.points import Floats, Health, Layers
from tests.detectors.following import first_bad, follow, healths

DEPTH = 8
STACK = Layers(
    names=tuple(f"{i}" for i in range(2 * DEPTH)),
    kinds=("Linear", "ReLU") * DEPTH,
    followed_by=tuple(f"{i + 1}:ReLU" if i % 2 == 0 else "" for i in range(2 * DEPTH)),
)


def dead(shares: Floats | list[float], steps: int = 12) -> Floats:
    """[steps, 2 DEPTH]: these shares of the ReLUs' units; linear layers have none."""
    row = np.full(2 * DEPTH, np.nan)
    row[1::2] = shares
    return np.tile(row, (steps, 1))


def test_a_layer_that_stays_dead_is_bad_after_three_samples_and_named() -> None:
    verdicts = follow(DeadUnits(), dead([0.1] * 5 + [0.97, 0.2, 0.1]), layers=STACK)
    assert healths(verdicts).tolist() == [0, 0] + [2] * 10
    bad = first_bad(verdicts)
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.layers == ("11",)
    assert "97 % at 11 (after 10)" in bad.evidence.seen
    assert bad.evidence.value == pytest.approx(0.97)


def test_forty_dying_layers_are_one_verdict_that_names_them() -> None:
    many = Layers(tuple(f"relu{i}" for i in range(40)), ("ReLU",) * 40)
    bad = first_bad(follow(DeadUnits(), np.ones((5, 40)), layers=many))
    assert bad is not None
    assert bad.evidence is not None
    assert len(bad.evidence.layers) == 40
    assert "and 37 more" in bad.evidence.seen


def test_half_dead_layers_live_and_a_flicker_is_none() -> None:
    assert first_bad(follow(DeadUnits(), dead([0.55] * DEPTH), layers=STACK)) is None
    values = dead([0.3] * DEPTH, 30)
    values[::2, 3] = 1.0
    assert first_bad(follow(DeadUnits(), values, layers=STACK)) is None


def test_what_is_not_known_is_neither_good_nor_bad() -> None:
    found = healths(follow(DeadUnits(), dead([np.nan] * DEPTH), layers=STACK))
    assert (found == Health.UNKNOWN).all()
    values = dead([1.0] + [np.nan] * (DEPTH - 1))
    values[4] = np.nan
    assert healths(follow(DeadUnits(), values, layers=STACK)).tolist()[:8] == [
        0,
        0,
        2,
        2,
        0,
        0,
        0,
        2,
    ]


def test_it_resolves_when_units_come_back() -> None:
    values = np.concatenate((dead([1.0] * DEPTH), dead([0.2] * DEPTH)))
    assert healths(follow(DeadUnits(), values, layers=STACK))[-12:].tolist() == [1] * 12


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_rate_that_is_far_too_high_kills_and_the_usual_does_not(rate: float, seed: int) -> None:
    pytest.importorskip("torch")
    from tests.detectors.hooked import HEALTHY, train

    setup = HEALTHY["relu"]
    sick = train(replace(setup, lr=rate), seed, steps=60)
    bad = first_bad(sick.judged(DeadUnits(), "layer/act_dead_fraction"))
    assert bad is not None
    assert bad.at < 50
    well = train(setup, seed, steps=60)
    assert first_bad(well.judged(DeadUnits(), "layer/act_dead_fraction")) is None


def test_sparse_is_not_dead() -> None:
    """98 % zeros, each unit for a few inputs."""
    pytest.importorskip("torch")
    from tests.detectors.hooked import HEALTHY, train

    found = train(HEALTHY["sparse autoencoder"], 0)
    assert np.mean(found.stream.column("act_zero_fraction", "act")) > 0.9
    assert max(found.stream.column("act_dead_fraction", "act")[12:]) < 0.2
