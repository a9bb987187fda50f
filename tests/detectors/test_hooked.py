"""The rules on real trainings with the real hook: one fault, one alert; none where all is well."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from monitor.rules import Severity
from tests.detectors.hooked import HEALTHY, SICK, train


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_a_healthy_training(name: str, seed: int) -> None:
    watched = train(HEALTHY[name], seed)
    # Notes are allowed: DCGAN's first layer has no bias.
    loud = {a.rule.alert for a in watched.alerts if a.rule.severity > Severity.INFO}
    # Hard gates that stand open pass no gradient at all, so that what opens them does not move.
    assert loud == ({"UnchangedWeights"} if name == "gates open" else set())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", SICK)
def test_one_fault_is_one_alert(case: str, seed: int) -> None:
    alert, setup = SICK[case]
    fired = train(setup, seed).fired
    # A rate that is far too high shows in the first updates, and then in what they lead to.
    assert [name for name in fired if name != "UpdatesTooLarge" or "by the rate" not in case] == [
        alert
    ]
    assert fired[alert] <= 25


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_bad_start_leads_to_comes_after_it(seed: int) -> None:
    """Without normalisation the article's net is NaN after an iteration or two."""
    setup = replace(SICK["normals of 1"][1], sgd=True, lr=1e-2)
    fired = train(setup, seed).fired
    assert "NaNWithinFirstSteps" in fired
    assert fired.keys() <= {"NaNWithinFirstSteps", "BadInitialisation"}
