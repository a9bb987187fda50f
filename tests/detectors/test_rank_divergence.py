"""Copies that part, against rounding, broken numbers and a moment's difference."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.rank_divergence import RankDivergence
from monitor.points import Floats, Layers
from tests.detectors.following import Verdict, first_bad, follow

RANKS = 8
NAMED = Layers(tuple(f"rank {i}" for i in range(RANKS)), ("",) * RANKS)


def verdict(distances: Floats) -> Verdict | None:
    return first_bad(follow(RankDivergence(), distances, layers=NAMED))


def parting(ranks: list[int], at: int, rate: float, steps: int = 300) -> Floats:
    """Distances that grow by ``rate`` a step from step ``at`` on."""
    grown = rate * np.maximum(np.arange(steps) - at, 0)
    found = np.zeros((steps, RANKS))
    found[:, ranks] = grown[:, None]
    return found


@pytest.mark.parametrize("ranks", [[3], [0], [1, 2, 7]])
@pytest.mark.parametrize("at", [0, 150])
def test_ranks_that_part_are_named(ranks: list[int], at: int) -> None:
    bad = verdict(parting(ranks, at, 1e-4))
    assert bad is not None
    assert bad.at == at + 2
    assert bad.evidence is not None
    assert sorted(bad.evidence.layers) == [f"rank {i}" for i in ranks]
    assert bad.evidence.onset_step == at + 1


def test_slow_parting_is_seen_once_it_is_more_than_rounding() -> None:
    bad = verdict(parting([5], 100, 1e-6))
    assert bad is not None
    assert 109 <= bad.at <= 115


@pytest.mark.parametrize("seed", range(10))
def test_look_alikes_stay_quiet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert verdict(np.zeros((300, RANKS))) is None
    assert verdict(np.abs(rng.normal(size=(300, RANKS))) * 3e-7) is None
    # A rank that has loaded a checkpoint and not yet sent it on, now this one, now that.
    blips = np.zeros((300, RANKS))
    blips[2 * rng.integers(150, size=20), rng.integers(RANKS, size=20)] = 0.1
    assert verdict(blips) is None
    each_in_turn = np.zeros((300, RANKS))
    each_in_turn[np.arange(300), np.arange(300) % RANKS] = 0.1
    assert verdict(each_in_turn) is None
