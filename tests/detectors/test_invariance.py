"""A curve in other units, read in other pieces or logged less often draws the same verdict."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detectors import CurveDetector
from monitor.points import Floats, Health, Ints
from tests.detectors.following import first_bad, follow, healths
from tests.detectors.registry import default
from tests.detectors.scenarios import cosine_lr, exponential, falling, math_ln10, walk

NAMES = (
    "divergence", "loss_spike", "oscillation", "slow_learning", "plateau", "early_decay",
    "not_learning", "overfitting",
)  # fmt: skip
LEVELLED = {"not_learning", "plateau", "divergence", "slow_learning"}
"""Detectors to which zero means something, so that only what is listed here may be shifted.

* ``not_learning``: noise is small or large against the level, which tells a classifier that guesses
  from fine-tuning at its floor; the shape of the two curves is the same.
* ``plateau``: stays quiet where a positive loss has come to 2 % of its start, and allows less
  change where what is left is little.
* ``divergence``: a loss that never improved has no scale but its first value.
* ``slow_learning``: knows the logarithms of class counts, beside what it sees of any curve.
"""
N = 2000


def curves() -> Mapping[str, tuple[Floats, Mapping[str, Floats]]]:
    """Faults of each detector and look-alikes, with what is joined to them."""
    rng = np.random.default_rng(3)
    t = np.arange(N) / N
    rate = np.full(N, 1e-3)
    good = falling(rng, N)
    noise = rng.normal(size=N)
    stepped = np.where(t < 0.1, 1e-3, 1e-5)
    spikes = np.zeros(N)
    spikes[[700, 1100, 1500]] = 30.0
    return {
        "power law": (good, {"learning_rate": rate}),
        "cosine": (exponential(rng, N), {"learning_rate": cosine_lr(N)}),
        "tiny batches": (good * np.exp(0.8 * rng.normal(size=N)), {"learning_rate": rate}),
        "walk": (5 + walk(rng, N, 1.0), {"learning_rate": rate}),
        "plateau that breaks": (math_ln10(rng, N, 0.5), {"learning_rate": rate}),
        "noise floor": (0.5 + 2 * np.exp(-t / 0.05) + 0.1 * noise, {"learning_rate": rate}),
        "diverged": (good + np.where(t > 0.6, 4.0, 0.0), {"learning_rate": rate}),
        "compounding": (60 * np.exp(6 * t) * (1 + 0.05 * noise), {"learning_rate": rate}),
        "period two": (1.5 + 0.5 * (-1.0) ** np.arange(N) + 0.05 * noise, {"learning_rate": rate}),
        "spikes": (good + spikes, {"learning_rate": rate}),
        "straight": (3 - t + 0.003 * noise, {"learning_rate": rate}),
        "guessing": (2.303 + 0.01 * noise, {"learning_rate": rate}),
        "decayed early": (
            0.2 + 2 / (1 + np.minimum(t, 0.1) * 30) + 0.01 * noise,
            {"learning_rate": stepped},
        ),
        "overfitted": (
            1 + 1.5 * np.exp(-t / 0.1) + 2 * np.maximum(t - 0.3, 0) + 0.01 * noise,
            {"learning_rate": rate, "train_loss": 2.5 * np.exp(-5 * t)},
        ),
    }


CURVES = curves()


@cache
def verdicts(
    name: str,
    curve: str,
    factor: float = 1.0,
    shift: float = 0.0,
    cuts: tuple[int, ...] = (),
    every: int = 1,
) -> list[Health]:
    """Of the detector on the curve as changed; the training loss is in the same units."""
    detector = default(name)
    assert isinstance(detector, CurveDetector)
    values, context = CURVES[curve]
    joined = {role: column[::every] for role, column in context.items()}
    if "train_loss" in joined:
        joined["train_loss"] = joined["train_loss"] * factor + shift
    steps: Ints = np.arange(0, N, every, dtype=np.int64)
    found = follow(detector, values[::every] * factor + shift, steps, joined, cuts=cuts)
    return [Health(int(health)) for health in healths(found)]


def spoke(name: str, curve: str, every: int = 1) -> bool:
    return Health.BAD in verdicts(name, curve, every=every)


@pytest.mark.parametrize("name", NAMES)
def test_each_detector_has_something_to_say_here(name: str) -> None:
    """Else the other tests would hold for a detector that is always quiet."""
    said = {curve for curve in CURVES if spoke(name, curve)}
    assert said
    assert "power law" not in said


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("name", sorted({*NAMES} - {"not_learning", "slow_learning"}))
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_does_not_matter(name: str, curve: str, factor: float) -> None:
    assert verdicts(name, curve, factor) == verdicts(name, curve)


@pytest.mark.parametrize("curve", sorted({*CURVES} - {"guessing", "plateau that breaks"}))
@pytest.mark.parametrize("name", ["not_learning", "slow_learning"])
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_does_not_matter_where_no_class_count_is_known(
    name: str, curve: str, factor: float
) -> None:
    """They are asked sooner where a level is known, so that OK may stand where UNKNOWN stood."""
    scaled, plain = verdicts(name, curve, factor), verdicts(name, curve)
    assert [h is Health.BAD for h in scaled] == [h is Health.BAD for h in plain]


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_a_loss_that_guesses_is_told_in_any_unit_if_later(factor: float) -> None:
    known = verdicts("not_learning", "guessing").index(Health.BAD)
    scaled = verdicts("not_learning", "guessing", factor).index(Health.BAD)
    assert known < scaled


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("name", sorted({*NAMES} - LEVELLED))
@pytest.mark.parametrize("shift", [-8.0])
def test_a_shift_does_not_matter(name: str, curve: str, shift: float) -> None:
    assert verdicts(name, curve, shift=shift) == verdicts(name, curve)


@pytest.mark.parametrize("shift", [-8.0, -100.0])
@pytest.mark.parametrize(
    ("name", "curve"),
    [("plateau", "noise floor"), ("divergence", "diverged"), ("slow_learning", "straight")],
)
def test_faults_are_found_below_zero_too(name: str, curve: str, shift: float) -> None:
    assert Health.BAD in verdicts(name, curve, shift=shift)
    for healthy in ("power law", "cosine"):
        assert Health.BAD not in verdicts(name, healthy, shift=shift)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_chunks_do_not_matter(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    curve = data.draw(st.sampled_from(sorted(CURVES)))
    cuts = tuple(data.draw(st.lists(st.integers(1, N - 1), max_size=12)))
    assert verdicts(name, curve, cuts=cuts) == verdicts(name, curve)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_power_of_two_is_as_good_a_unit(data: st.DataObject) -> None:
    """Powers of two are exact, so that not a single verdict may differ."""
    name = data.draw(st.sampled_from(sorted({*NAMES} - {"not_learning", "slow_learning"})))
    curve = data.draw(st.sampled_from(sorted(CURVES)))
    factor = 2.0 ** data.draw(st.integers(-40, 40))
    assert verdicts(name, curve, factor) == verdicts(name, curve)


@pytest.mark.parametrize(
    ("name", "curve"),
    [
        ("divergence", "diverged"),
        ("divergence", "compounding"),
        ("early_decay", "decayed early"),
        ("overfitting", "overfitted"),
        ("slow_learning", "straight"),
        ("not_learning", "guessing"),
    ],
)
def test_faults_are_found_when_logged_at_every_tenth_step(name: str, curve: str) -> None:
    """Not here: alternation and single spikes are not there to see, and a plateau in noise takes
    some 700 points, whatever the interval.
    """
    assert spoke(name, curve, every=10)


@pytest.mark.parametrize("curve", ["power law", "cosine", "tiny batches", "plateau that breaks"])
@pytest.mark.parametrize("name", sorted({*NAMES} - {"not_learning", "slow_learning"}))
def test_what_is_well_stays_so_when_logged_at_every_tenth_step(name: str, curve: str) -> None:
    assert not spoke(name, curve, every=10)


def test_what_first_was_wrong_is_told_at_about_the_same_step_when_logged_less_often() -> None:
    values, context = CURVES["diverged"]
    detector = default("divergence")
    assert isinstance(detector, CurveDetector)
    each = first_bad(follow(detector, values, context=context))
    tenth = first_bad(
        follow(
            detector,
            values[::10],
            np.arange(0, N, 10, dtype=np.int64),
            {role: column[::10] for role, column in context.items()},
        )
    )
    assert each is not None
    assert tenth is not None
    assert abs(10 * tenth.at - each.at) <= 0.05 * N
