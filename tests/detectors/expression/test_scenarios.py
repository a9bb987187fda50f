"""The example of the documentation on runs whose truth is known; units and logging intervals."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.expression import Expression
from tests.detectors.following import first_bad, follow, healths
from tests.detectors.scenarios import Scenario, faulty, healthy

CLIMBED = Expression("median(value, 50) > 1.5 * min(median(value, 50))")
DIVERGING = [s for s in faulty(0, 1000) if "divergence" in s.faults]


def fired(detector: Expression, scenario: Scenario) -> int | None:
    """The step at which it first speaks up."""
    bad = first_bad(follow(detector, scenario.loss, scenario.steps))
    if bad is None:
        return None
    return bad.at if scenario.steps is None else int(scenario.steps[bad.at])


def test_the_documented_rule_finds_what_climbs() -> None:
    missed = {s.name.split("/")[0] for s in DIVERGING if fired(CLIMBED, s) is None}
    assert missed <= {"period two, growing"}  # its median stays where it was


def test_it_is_a_ratio_and_so_quiet_only_where_ratios_mean_something() -> None:
    """As the page says: losses that are negative, next to nothing or a game's need better."""
    wrong = {s.name.split("/")[0] for s in healthy(0, 1000) if fired(CLIMBED, s) is not None}
    assert len(wrong) <= 20
    for fine in ("warm-up", "cosine", "label smoothing"):
        assert not [name for name in wrong if name.startswith(fine)]


@pytest.mark.parametrize("scenario", DIVERGING, ids=lambda s: s.name)
def test_units_do_not_matter_to_ratios(scenario: Scenario) -> None:
    as_is = healths(follow(CLIMBED, scenario.loss))
    for factor in (2.0**-20, 2.0**20):
        np.testing.assert_array_equal(healths(follow(CLIMBED, factor * scenario.loss)), as_is)
    for factor in (1e-6, 1e6):
        assert fired(CLIMBED, scenario.scaled(factor)) == fired(CLIMBED, scenario)


@pytest.mark.parametrize("every", [2, 5, 10])
def test_windows_in_steps_do_not_mind_how_often_is_logged(every: int) -> None:
    steps = np.arange(1000)
    clean = Scenario("climbs", np.where(steps < 600, 3 - steps / 300, 1 + (steps - 600) / 50))
    at, thinned = fired(CLIMBED, clean), fired(CLIMBED, clean.every(every))
    assert at is not None
    assert thinned is not None
    assert abs(at - thinned) <= 2 * every
