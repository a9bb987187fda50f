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


def learnt(rng: np.random.Generator, n: int, noise: float) -> Floats:
    t = np.arange(n) / n
    fallen: Floats = 0.3 + 2.0 * np.exp(-t / 0.08) + noise * rng.normal(size=n)
    return fallen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "every"), [(300, 1), (1000, 1), (3000, 10)])
@pytest.mark.parametrize("noise", [0.01, 0.04])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 300.0])
def test_a_harder_task_that_is_learnt_is_none(
    seed: int, n: int, every: int, noise: float, unit: float
) -> None:
    """Other data, a longer horizon: the loss jumps to about its start and falls again."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) / n
    at = rng.uniform(0.4, 0.6)
    after = np.where(t >= at, rng.uniform(1.2, 2.0) * np.exp((at - t) / rng.uniform(0.1, 0.25)), 0)
    assert judged((unit * (learnt(rng, n, noise) + after))[::every]) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [300, 1000, 3000])
@pytest.mark.parametrize("height", [2.0, 2.6, 6.0])
def test_a_collapse_is_told_within_a_twentieth_or_fifty_points(
    seed: int, n: int, height: float
) -> None:
    """To what guessing costs and flat there, or beyond that."""
    rng = np.random.default_rng(seed)
    at = int(n * rng.uniform(0.3, 0.8))
    loss = learnt(rng, n, 0.03)
    loss[at:] = 0.3 + height + 0.03 * height * rng.normal(size=n - at)
    bad = judged(loss)
    assert bad is not None
    assert 0 <= bad.at - at <= max(50, 0.1 * n if height == 2.0 else 0.05 * n)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [400, 900, 2000])
def test_bumps_of_a_young_run_are_none(seed: int, n: int) -> None:
    """A codebook that is being filled: the loss goes up for some twenty points, twice."""
    rng = np.random.default_rng(seed)
    i = np.arange(n)
    bumps = sum(
        rng.uniform(0.3, 0.6) * np.exp(-(((i - at) / rng.uniform(8, 12)) ** 2) / 2)
        for at in (18, 80)
    )
    loss = 0.4 + 0.6 * np.exp(-i / 40) + bumps + 0.01 * rng.normal(size=n)
    assert judged(loss) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_first_batch_that_costs_nothing_is_no_measure(seed: int) -> None:
    """Margins that are met in some batches: zeros among what is otherwise as it always was."""
    rng = np.random.default_rng(seed)
    loss = np.maximum(rng.normal(0.05, 0.1, size=500), 0.0)
    loss[0] = 0.0
    assert judged(loss) is None


@pytest.mark.parametrize("seed", range(4))
def test_in_much_noise_it_is_told_where_the_rate_has_grown(seed: int) -> None:
    """All is lost again, but within five times the noise, as in games: what tells is the rate."""
    n = 900
    t = np.arange(n) / n
    noise = 0.22 * np.random.default_rng(seed).normal(size=n)
    loss = 1.4 - 1.0 * np.minimum(t / 0.1, 1) + 1.05 * np.clip((t - 0.5) / 0.15, 0, 1) + noise

    def with_rate(rate: Floats) -> Verdict | None:
        return first_bad(follow(Divergence(), loss, context={"learning_rate": rate}))

    bad = with_rate(1e-5 * np.exp(8 * t))
    assert bad is not None
    for rate in (np.full(n, 1e-3), 1e-3 * (1 - t)):
        later = with_rate(rate)
        assert later is None or later.at > bad.at + 40


def test_a_steady_climb_is_no_wandering() -> None:
    """Fifty epochs, of which the last half climb by as much each."""
    t = np.arange(50) / 50
    loss = 0.4 + 1.9 * np.exp(-t / 0.1) + 4 * np.maximum(t - 0.5, 0)
    assert judged(loss + 0.02 * np.random.default_rng(0).normal(size=50)) is not None


@pytest.mark.parametrize("seed", range(4))
def test_a_part_that_is_lost_bit_by_bit_and_for_good(seed: int) -> None:
    """A language model that comes from 11 to 3.9 and goes back to 5.8: a quarter of its way."""
    n = 1200
    t = np.arange(n)
    loss = 3 + 8 * (1 + t / 10) ** -0.5 + 0.12 * np.random.default_rng(seed).normal(size=n)
    late = np.maximum(t - 400, 0.0)
    creeps = loss + 2.2 * (1 - np.exp(-late / 120))
    bad = judged(creeps)
    assert bad is not None
    assert bad.at < 900
    assert judged(creeps[:600]) is None, "it is not up for long"
    look_alikes = [
        loss + 2.2 * (late > 0),  # a harder task
        loss + 2.2 * (1 - np.exp(-late / 120)) * np.exp(-late / 250),  # it is learnt
        loss + 0.4 * (1 - np.exp(-late / 120)),
    ]
    for values in look_alikes:
        assert judged(values) is None
    rate = np.clip(t / 500, 0.4, 1.0)
    for context in ({"learning_rate": rate}, {"reward": loss}):
        assert first_bad(follow(Divergence(), creeps, context=context)) is None
    context = {"learning_rate": rate * np.clip(1.5 - t / 1000, 0.5, 1.0)}
    assert first_bad(follow(Divergence(), creeps, context=context)) is not None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("quick", [0.03, 0.1])
def test_values_that_grow_with_the_returns(quick: float, seed: int) -> None:
    t = np.arange(400) / 400
    reward = 3000 * (1 - np.exp(-t / quick))
    loss = 0.2 + 0.02 * reward**1.1 * np.random.default_rng(seed).gamma(4, 0.25, size=400)
    noise = np.random.default_rng(seed + 9).normal(size=400)
    detector = Divergence()
    assert first_bad(follow(detector, loss, context={"reward": reward + 200 * noise})) is None
    assert first_bad(follow(detector, loss, context={"reward": 20 + 2 * noise})) is not None


@pytest.mark.parametrize("seed", range(4))
def test_a_climb_may_be_wilder_than_what_was_learnt(seed: int) -> None:
    """Noise as large as the loss: what was gained has to be held against that of then."""
    n = np.arange(600)
    wild = 1 + 0.4 * np.random.default_rng(seed).normal(size=600)
    loss = 0.3 + 2 * np.exp(-n / 20) + 0.3 * np.exp(np.maximum(n - 150, 0) / 100)
    bad = judged(np.abs(loss * wild))
    assert bad is not None
    assert judged(np.abs((0.6 + 2 * np.exp(-n / 20)) * wild)) is None


@pytest.mark.parametrize("seed", range(4))
def test_half_the_noise_is_not_enough_where_the_rate_has_been_as_high_before(seed: int) -> None:
    """At a warm restart; a rate that has never been so high is another matter."""
    t = np.arange(700)
    noise = 0.02 * np.random.default_rng(seed).normal(size=700)
    loss = 0.24 + 0.16 * np.exp(-t / 60) + np.where(t >= 600, 0.09, 0.0) + noise
    restart = 0.51 + 0.49 * np.cos(np.pi * (t % 600) / 600)
    raised = np.where(t >= 600, 3.0, 1.0)
    assert first_bad(follow(Divergence(), loss, context={"learning_rate": restart})) is None
    assert first_bad(
        follow(Divergence(), loss + 0.15 * (t >= 600), context={"learning_rate": raised})
    )
