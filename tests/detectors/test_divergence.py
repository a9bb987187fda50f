"""Divergence: what it says, when, and in which units. Recall is in test_scenarios."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.divergence import Divergence
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow


def risen(n: int = 1000, seed: int = 0, height: float = 4.0) -> Floats:
    t = np.arange(n) / n
    noise = 0.03 * np.random.default_rng(seed).normal(size=n)
    return 0.4 + 1.9 * np.exp(-t / 0.1) + noise + np.where(t >= 0.5, height, 0.0)


def judged(values: Floats) -> Verdict | None:
    return first_bad(follow(Divergence(), values))


def test_evidence_gives_the_level_now_and_before_and_the_onset() -> None:
    bad = judged(risen())
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.value == pytest.approx(4.4, abs=0.3)
    assert bad.evidence.onset_step is not None
    assert abs(bad.evidence.onset_step - 500) < 40
    assert bad.at < 650, "a tenth of the run is enough to see it"


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("shift", [-100.0, 0.0, 100.0])
def test_units_do_not_matter(scale: float, shift: float) -> None:
    base = judged(risen())
    other = judged(scale * (risen() + shift))
    assert base is not None
    assert other is not None
    assert base.at == other.at


def test_a_rise_that_comes_back_is_none() -> None:
    values = risen(height=0.0)
    values[500:530] += 4.0
    assert judged(values) is None


def test_losing_a_third_of_what_was_gained_is_none() -> None:
    assert judged(risen(height=0.6)) is None


def test_an_explosion_from_the_start_is_seen_early() -> None:
    bad = judged(2.3 * np.exp(0.2 * np.arange(200)))
    assert bad is not None
    assert bad.at < 64


def test_it_stays_bad_for_as_long_as_the_loss_stays_up() -> None:
    verdicts = follow(Divergence(), np.concatenate((risen(), risen()[-1] + 0 * risen(5000))))
    seen = [v.health for v in verdicts if v.at >= 700]
    assert set(seen) == {2}


def test_a_young_run_that_is_better_than_at_the_start_gets_longer() -> None:
    values = (
        0.5 + 0.5 * np.exp(-np.arange(400) / 15) + 0.01 * np.random.default_rng(0).normal(size=400)
    )
    bump = values.copy()
    bump[45:52] += 0.35
    assert judged(bump) is None
    bump[45:] = bump[45]
    bad = judged(bump)
    assert bad is not None
    assert 52 < bad.at < 100
