"""Inputs that are orders of magnitude away from mean 0 and standard deviation 1."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.unnormalised_input import ABSMAX, MEAN, UnnormalisedInput
from tests.detectors.following import Verdict, first_bad, follow, healths


def judged(mean: float, std: float, absmax: float, steps: int = 8, seed: int = 0) -> list[Verdict]:
    """Verdicts, with the context that the engine joins: that of the step before."""
    noise = np.exp(0.05 * np.random.default_rng(seed).normal(size=(3, steps)))
    known = [mean * noise[0], absmax * noise[1]]
    late = [np.concatenate(([np.nan], values[:-1])) for values in known]
    return follow(
        UnnormalisedInput(), std * noise[2], context=dict(zip((MEAN, ABSMAX), late, strict=True))
    )


@pytest.mark.parametrize(
    ("mean", "std", "absmax"),
    [
        (7e7, 4e7, 1.4e8),  # the article's
        (5000.0, 1000.0, 9000.0),
        (5000.0, 1.0, 5004.0),  # an offset alone
        (-40.0, 20.0, 80.0),  # decibels
        (33.0, 78.0, 255.0),  # dark pictures
        (0.0, 1e-5, 5e-5),
        (0.1, 3.0, 5e4),  # a tail
    ],
)
def test_far_off_is_told_at_the_second_step(mean: float, std: float, absmax: float) -> None:
    verdicts = judged(mean, std, absmax)
    assert healths(verdicts).tolist() == [0] + [2] * 7
    bad = first_bad(verdicts)
    assert bad is not None
    assert bad.evidence is not None
    assert "mean" in bad.evidence.seen
    c = float(bad.evidence.facts["c"])
    assert 0.3 * c <= abs(mean) + 2 * std <= 3 * c


@pytest.mark.parametrize(
    ("mean", "std", "absmax"),
    [
        (0.0, 1.0, 4.3),
        (0.5, 0.25, 1.0),  # pictures
        (0.98, 0.1, 1.0),  # white pages
        (0.002, 0.045, 1.0),  # one-hot
        (1e-5, 3e-3, 1.0),  # one in a hundred thousand
        (3.0, 1.0, 7.0),
        (-4.0, 4.5, 15.0),  # spectrograms
        (0.0, 10.0, 80.0),  # joints of robots
        (0.0, 0.004, 0.05),  # quiet audio
        (0.4, 3.0, 300.0),  # counts of words
        (0.0, 0.0, 0.0),  # nothing at all
    ],
)
def test_look_alikes(mean: float, std: float, absmax: float) -> None:
    for seed in range(5):
        assert first_bad(judged(mean, std, absmax, seed=seed)) is None


def test_without_the_mean_the_spread_has_to_do() -> None:
    assert first_bad(follow(UnnormalisedInput(), np.full(5, 100.0))) is not None
    assert first_bad(follow(UnnormalisedInput(), np.full(5, 1.0))) is None


def test_the_advice_names_what_to_subtract_and_a_scale_from_the_data() -> None:
    from monitor.notices import advice, summary

    pytest.importorskip("torch")
    from tests.detectors.hooked import SICK, train

    found = train(SICK["inputs x 1000 + 5000"][1], 0)
    (alert,) = found.alerts
    assert "mean 50" in summary(alert)
    assert "tanh(x / 70" in advice(alert)
