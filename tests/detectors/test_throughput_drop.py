"""Steps that take longer, and what only looks like it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from monitor.detectors.throughput_drop import ThroughputDrop
from monitor.points import Floats, Ints
from tests.detectors.following import Verdict, first_bad, follow

N = 600


def judged(each: Floats, steps: Ints | None = None) -> Verdict | None:
    """``each``: seconds per point."""
    return first_bad(follow(ThroughputDrop(), np.ones(len(each)), steps, clock=np.cumsum(each)))


def usual(seed: int, n: int = N) -> Floats:
    return np.random.default_rng(seed).gamma(20.0, 0.05, size=n)


@pytest.mark.parametrize("seed", range(3))
def test_at_once_and_gradually(seed: int) -> None:
    i = np.arange(N)
    bad = judged(usual(seed) * np.where(i < 300, 1.0, 2.5))
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.onset_step == pytest.approx(300, abs=10)
    assert judged(usual(seed) * (1 + 2.0 * i / N)) is not None


@pytest.mark.parametrize("seed", range(3))
def test_look_alikes(seed: int) -> None:
    i, each = np.arange(N), usual(seed)
    compiled = np.where(i < 5, 60.0, each)
    evaluated = each + np.where(i % 50 == 49, 30.0, 0.0)
    resumed = each + np.where(i == 300, 86400.0, 0.0)
    brief = 0.01 * each * np.where(i < 300, 1.0, 2.5)
    for looks_alike in (each, compiled, evaluated, resumed, brief):
        assert judged(looks_alike) is None


def test_another_logging_interval() -> None:
    between = np.where(np.arange(N) < 300, 1, 10)
    assert judged(usual(0) * between, np.cumsum(between)) is None


def test_times_that_are_unknown_or_stand_still() -> None:
    assert judged(np.zeros(N)) is None
    assert judged(np.full(N, np.nan)) is None


def measured(values: Floats, of: Literal["seconds", "rate"], reward: bool = False) -> bool:
    """Of a log whose clock says nothing."""
    context = {"reward": np.ones(len(values))} if reward else {}
    detector = ThroughputDrop(of=of, lasting=0)
    clock = np.zeros(len(values))
    return first_bad(follow(detector, values, context=context, clock=clock)) is not None


@pytest.mark.parametrize("seed", range(3))
def test_what_the_script_measures(seed: int) -> None:
    i, each = np.arange(N), usual(seed)
    slower = each * np.where(i < 300, 1.0, 2.5)
    compiled = np.where(i < 5, 60.0, each)
    evaluated = np.where(i % 50 == 49, 10.0, each)
    assert measured(slower, "seconds")
    assert measured(32 / slower, "rate")
    assert not measured(slower, "rate"), "faster"
    assert not measured(32 / slower, "rate", reward=True), "the learning begins"
    for looks_alike in (each, compiled, evaluated, np.zeros(N), each / each):
        assert not measured(looks_alike, "seconds")
        assert not measured(32 / np.maximum(looks_alike, 1e-9), "rate")


@pytest.mark.parametrize("seed", range(20))
def test_steps_that_differ_by_a_third_are_slow_by_chance(seed: int) -> None:
    each = 0.3 * np.exp(0.3 * np.random.default_rng(seed).normal(size=400))
    assert not measured(each, "seconds")
    assert not measured(1 / each, "rate")
    assert judged(100 * each) is None
    assert measured(each * np.where(np.arange(400) < 200, 1.0, 3.0), "seconds")
