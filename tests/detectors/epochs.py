"""Curves of few points, one an epoch, as many scripts log them: faults, and look-alikes.

Each point is the mean of an epoch's batches, so that there is little noise and little to see it by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.random import Generator

from monitor.points import Floats
from tests.detectors.cases import Case
from tests.detectors.scenarios import cosine_lr

LENGTHS = (30, 50, 80, 100, 150)


def epochs(seed: int, n: int) -> Iterator[Case]:
    """All of them, for runs of ``n`` epochs."""
    rng = np.random.default_rng([seed, n, 11])
    yield from _stood_still(rng, n)
    yield from _decayed(rng, n)
    yield from _crept(rng, n)
    yield from _climbed(rng, n)
    yield from _swung(rng, n)
    yield from _validated(rng, n)


def _rate(n: int) -> Mapping[str, Floats]:
    return {"learning_rate": np.full(n, 1e-3)}


def _stood_still(rng: Generator, n: int) -> Iterator[Case]:
    """Plateaus. To be sure of one takes some 80 points, or twice as many in more noise."""
    t, noise = np.arange(n) / n, rng.normal(size=n)
    fell = 0.5 + 1.8 * np.exp(-t / 0.06)

    def case(name: str, sick: bool, values: Floats, lr: Floats | None = None) -> Case:
        context = _rate(n) if lr is None else {"learning_rate": lr}
        return Case("plateau", f"{name}, {n} epochs", sick, values, context)

    if n >= 100:
        yield case("a noise floor", True, fell + 0.03 * noise)
        yield case("a noise floor of a negative loss", True, fell - 6 + 0.03 * noise)
    yield case("a power law", False, 0.2 + 2.1 / (1 + 20 * t) ** 0.6 * (1 + 0.01 * noise))
    yield case("a slow end", False, 0.5 + 1.5 * np.exp(-t / 0.05) - 0.15 * t + 0.02 * noise)
    yield case("nearly nothing", False, 2.3 * np.exp(-t / 0.04) + 0.002 * np.abs(noise))
    yield case("about a level", False, 1.2 + 0.05 * noise)
    lr = cosine_lr(n)
    floor = 0.3 + 0.3 * lr / lr.max() + 1.6 * np.exp(-t / 0.06)
    yield case("a cosine", False, floor + 0.03 * noise * lr / lr.max(), lr)
    late = np.where(t < 0.35, 1e-3, 1e-4)
    yield case("a step at 35 %", False, fell - 0.2 * (t >= 0.35) + 0.01 * noise, late)


def _decayed(rng: Generator, n: int) -> Iterator[Case]:
    t, noise, at = np.arange(n) / n, rng.normal(size=n), np.arange(n)

    def case(name: str, sick: bool, rate: Floats) -> Case:
        spent = np.cumsum(rate) / 1e-3  # epochs at the full rate
        values = (0.2 + 2 / (1 + 0.25 * spent)) * (1 + 0.004 * noise)
        return Case("early_decay", f"{name}, {n} epochs", sick, values, {"learning_rate": rate})

    yield case("a hundredth from epoch 6 on", True, np.where(at < 6, 1e-3, 1e-5))
    stairs = np.where(at < 5, 1e-3, np.where(at < 9, 1e-4, 1e-5))
    late = np.where(t < 0.6, 1e-3, np.where(t < 0.85, 1e-4, 1e-5))
    yield case("tenths at epochs 5 and 9", True, stairs)
    if n >= 50:
        yield case("half at each epoch", True, 1e-3 * np.exp2(-1.0 * at))
    yield case("tenths at 60 and 85 %", False, late)
    yield case("a cosine", False, cosine_lr(n))
    yield case("a line to zero", False, 1e-3 * (1 - t))
    yield case("a constant rate", False, np.full(n, 1e-3))
    warm: Floats = np.minimum(1.0, (at + 1) / 5) * np.sqrt(5 / np.maximum(at, 5))
    yield case("a warm-up and an inverse root", False, 1e-3 * warm)
    yield case("a factor at each epoch", False, 1e-3 * 0.1**t)


def _crept(rng: Generator, n: int) -> Iterator[Case]:
    t, noise = np.arange(n) / n, rng.normal(size=n)

    def case(name: str, sick: bool, values: Floats) -> Case:
        validated = {"val_loss": values + 0.1 + 0.01 * rng.normal(size=n)}
        context = {**_rate(n), **validated}
        return Case("slow_learning", f"{name}, {n} epochs", sick, values, context)

    if n >= 80:
        yield case("a straight line", True, 3.3 - 0.5 * t + 0.002 * noise)
        yield case("a straight line below zero", True, -20 - 5 * t + 0.02 * noise)
    yield case("a power law", False, 0.2 + 2.1 / (1 + 5 * t) ** 0.6 * (1 + 0.01 * noise))
    yield case("an exponential", False, 0.2 + 2.1 * np.exp(-t / 0.3) + 0.01 * noise)
    yield case("an exponential of 40", False, 0.2 + 2.1 * np.exp(-np.arange(n) / 40) + 0.01 * noise)
    yield case("about a level", False, 1.2 + 0.05 * noise)


def _climbed(rng: Generator, n: int) -> Iterator[Case]:
    t, noise = np.arange(n) / n, rng.normal(size=n)
    fell = 0.4 + 1.9 * np.exp(-t / 0.1)

    def case(name: str, sick: bool, values: Floats) -> Case:
        return Case("divergence", f"{name}, {n} epochs", sick, values, _rate(n))

    yield case("jumps to ln 10", True, np.where(t < 0.6, fell, 2.303) + 0.02 * noise)
    if n >= 50:
        yield case("climbs from half-way", True, fell + 4 * np.maximum(t - 0.5, 0) + 0.02 * noise)
        yield case("grows from the start", True, 2.3 * np.exp(8 * t) * (1 + 0.02 * noise))
    yield case("a bump", False, fell + np.exp(-(((t - 0.3) / 0.03) ** 2)) + 0.02 * noise)
    yield case("a restart", False, fell + 0.5 * np.maximum(0, 1 - 4 * (t % 0.4)) + 0.02 * noise)
    yield case("about a level", False, 1.2 + 0.1 * noise)


def _swung(rng: Generator, n: int) -> Iterator[Case]:
    t, noise, at = np.arange(n) / n, rng.normal(size=n), np.arange(n)

    def case(name: str, sick: bool, values: Floats) -> Case:
        return Case("oscillation", f"{name}, {n} epochs", sick, values, _rate(n))

    if n >= 80:
        yield case("up and down", True, 1.5 + 0.5 * (-1.0) ** at + 0.05 * noise)
    yield case("noise", False, 1.5 + 0.3 * noise)
    yield case("a fall with ripples", False, 0.3 + 2 * np.exp(-t / 0.2) + 0.05 * (-1.0) ** at)


def _validated(rng: Generator, n: int) -> Iterator[Case]:
    t, noise = np.arange(n) / n, rng.normal(size=n)
    fell = {"train_loss": 2.3 * np.exp(-4 * t)}
    falls = 0.9 + 1.3 * np.exp(-t / 0.1)

    def case(name: str, sick: bool, values: Floats) -> Case:
        return Case("overfitting", f"{name}, {n} epochs", sick, values, fell)

    yield case("down and up", True, falls + 0.8 * np.maximum(t - 0.3, 0) + 0.01 * noise)
    yield case("a little up", True, falls + 0.5 * np.maximum(t - 0.4, 0) + 0.005 * noise)
    yield case("down for good", False, falls + 0.02 * noise)
    yield case("down to noise", False, falls + 0.1 * noise)
    yield case("creeping down", False, falls - 0.1 * t + 0.02 * noise)
