"""Quality as numbers that may not fall: recall over faults, false alarms over look-alikes."""

from __future__ import annotations

import pytest

from tests.detectors.scenarios import Scenario, faulty, healthy
from tests.detectors.score import fired, tally, trained

TOLERATED = {"random walk", "KL annealing"}
"""A random walk does climb and stay up; two opposite trends may cancel for a while."""


def small(make: object) -> list[Scenario]:
    assert make in {healthy, faulty}
    make = healthy if make is healthy else faulty
    return [s for n in (200, 1000) for s in make(0, n)]


@pytest.mark.parametrize("scenario", small(healthy), ids=lambda s: s.name)
def test_look_alikes_stay_quiet(scenario: Scenario) -> None:
    if scenario.name.split("/")[0] not in TOLERATED:
        assert fired(scenario) <= scenario.also


def test_most_faults_are_found() -> None:
    scores = tally(small(faulty))
    for name, least in {"divergence": 0.85, "oscillation": 0.65}.items():
        score = scores[name]
        assert score.by_any >= least * score.faults, score.where
        assert score.false == 0, score.where


def test_plateaus_are_found_given_enough_points() -> None:
    """Whether a noisy loss is flat takes some hundred points to tell: that is its docstring's."""
    score = tally(list(faulty(0, 3000)))["plateau"]
    assert score.found == score.faults, score.where


def test_real_trainings() -> None:
    scores = tally(trained(seeds=range(1), steps=200, models=("mlp", "conv")))
    for name in ("nonfinite", "divergence", "oscillation"):
        assert scores[name].false == 0, scores[name].where
    assert scores["oscillation"].by_any >= 0.5 * scores["oscillation"].faults
