"""An optimizer that begins anew while steps go on, against all that resumes look like."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.optimizer_state_lost import OptimizerStateLost
from monitor.points import Floats, Health, Ints
from tests.detectors.following import first_bad, follow, healths

SAMPLED = np.array([*range(20), *range(20, 3000, 10)])
"""Steps that the hook looks at."""


def counted(begin: int, state: int, samples: int = 200) -> tuple[Ints, Floats]:
    """Steps from ``begin`` on, with a state that had counted ``state`` steps before."""
    return begin + SAMPLED[:samples], SAMPLED[:samples] + state + 1.0


def joined(*parts: tuple[Ints, Floats]) -> tuple[Ints, Floats]:
    steps, counts = zip(*parts, strict=True)
    return np.concatenate(steps), np.concatenate(counts)


@pytest.mark.parametrize("begin", [50, 500, 100_000])
def test_a_run_that_goes_on_with_a_new_state(begin: int) -> None:
    steps, counts = counted(begin, 0)
    bad = first_bad(follow(OptimizerStateLost(), counts, steps))
    assert bad is not None
    assert bad.at == 0
    assert bad.evidence is not None
    assert bad.evidence.onset_step == begin


def test_a_state_that_is_lost_on_the_way_names_both_counts() -> None:
    steps, counts = joined(counted(0, 0), counted(2000, 0))
    loss = {"train_loss": np.full(len(steps), 0.25)}
    bad = first_bad(follow(OptimizerStateLost(), counts, steps, context=loss))
    assert bad is not None
    assert (bad.at, bad.evidence and bad.evidence.onset_step) == (200, 2000)
    assert bad.evidence is not None
    for number in ("2000", "counts 1 ", "1810", "1811", "0.25"):
        assert number in bad.evidence.seen, bad.evidence.seen


def test_it_is_not_over_before_the_state_is_rebuilt() -> None:
    steps, counts = counted(500, 0)
    found = healths(follow(OptimizerStateLost(), counts, steps))
    assert (found == Health.BAD).sum() == 1
    well = np.flatnonzero(found == Health.OK)
    assert counts[well[0]] >= 1000 > counts[well[0] - 1]
    assert (found[well[0] :] == Health.OK).all()


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(counted(0, 0), id="from the start"),
        pytest.param(counted(1, 0), id="numbered from one"),
        pytest.param(counted(0, 5000), id="fine-tuning that keeps the state"),
        pytest.param(counted(500, 500), id="resumed with the state"),
        pytest.param(counted(400, 500), id="weights older than the state"),
        pytest.param(joined(counted(0, 0), counted(2000, 2000)), id="resumed in the same files"),
        pytest.param(joined(counted(0, 0), counted(2000, 1900)), id="a state of 100 steps before"),
        pytest.param((np.arange(200), np.arange(200) // 4 + 1.0), id="every fourth step"),
        pytest.param((np.arange(200), 5 * np.arange(200) + 5.0), id="five critic steps for one"),
        pytest.param((np.arange(200), np.maximum(np.arange(200) - 15, 0.0)), id="skipped at first"),
    ],
)
def test_look_alikes_stay_quiet(run: tuple[Ints, Floats]) -> None:
    steps, counts = run
    assert first_bad(follow(OptimizerStateLost(), counts, steps)) is None
