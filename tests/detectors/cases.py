"""Cases for detectors that want more than a loss: a rate, a validation loss, a clock, a scale.

Each is about one detector: a fault that it must find, or a look-alike at which it must stay quiet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from monitor.detectors import CurveDetector, WindowDetector
from monitor.points import Floats
from tests.detectors.following import first_bad, follow
from tests.detectors.registry import default
from tests.detectors.scenarios import cosine_lr, exponential, falling, walk


@dataclass(frozen=True)
class Case:
    """One series and what one detector has to say of it."""

    detector: str
    name: str
    sick: bool
    values: Floats
    context: Mapping[str, Floats] = field(default_factory=dict)
    clock: Floats | None = None

    def found(self) -> bool:
        """Whether the detector speaks up."""
        detector = default(self.detector)
        assert isinstance(detector, WindowDetector | CurveDetector)
        said = follow(detector, self.values, context=self.context, clock=self.clock)
        return first_bad(said) is not None


def cases(seed: int, n: int) -> Iterator[Case]:
    """All of them, for runs of ``n`` points, at least 1,000."""
    rng = np.random.default_rng([seed, n, 7])
    yield from _spikes(rng, n)
    yield from _slow(rng, n)
    yield from _stuck(rng, n)
    yield from _decays(rng, n)
    yield from _validations(rng, n)
    yield from _clocks(rng, n)
    yield from _scales(rng, n)


def _spikes(rng: Generator, n: int) -> Iterator[Case]:
    def case(name: str, sick: bool, extra: Floats) -> Case:
        return Case("loss_spike", name, sick, falling(rng, n) + extra)

    lone, many = np.zeros(n), np.zeros(n)
    lone[n // 2] = 20.0
    many[[n // 3, n // 2, 3 * n // 4]] = 10.0
    back = np.zeros(n)
    back[n // 2 : n // 2 + 3] = (15.0, 8.0, 3.0)
    lasting = np.where(np.arange(n) >= n // 2, 0.6, 0.0) + lone
    yield case("a spike", True, lone)
    yield case("three spikes", True, many)
    yield case("a spike that takes some points to come back", True, back)
    yield case("a spike that leaves its mark", True, lasting)
    yield case("no spike", False, np.zeros(n))
    yield case("Gaussian noise", False, 0.3 * rng.normal(size=n))
    yield case("skewed noise", False, 0.3 * np.exp(0.6 * rng.normal(size=n)))
    yield case("symmetric heavy noise", False, 0.1 * rng.standard_t(3, size=n))
    yield case("a step up", False, np.where(np.arange(n) > n // 2, 0.8, 0.0))


def _slow(rng: Generator, n: int) -> Iterator[Case]:
    t = np.arange(n) / n
    steady = {"learning_rate": np.full(n, 1e-5)}
    noise = rng.normal(size=n)

    def case(name: str, sick: bool, values: Floats, rate: Floats | None = None) -> Case:
        context = steady if rate is None else {"learning_rate": rate}
        return Case("slow_learning", name, sick, values, context)

    yield case("a straight line", True, 3.3 - 0.5 * t + 0.005 * noise)
    yield case("a straight line below zero", True, -20 - 5 * t + 0.05 * noise)
    yield case("a passing exponential", True, 5 * np.exp(-0.3 * t) + 0.01 * noise)
    yield case("hardly off ln 10", True, 2.33 - 0.06 * t + 0.02 * noise)
    yield case("a power law", False, falling(rng, n))
    yield case("a slow power law", False, falling(rng, n, rate=2.0))
    yield case("an exponential", False, exponential(rng, n))
    yield case("warm-up", False, 3 - t + 0.003 * noise, 1e-3 * (0.1 + 0.9 * t))
    yield case("noise about a level", False, 1.2 + 0.15 * noise)
    yield case("a walk", False, 5 + walk(rng, n, 1.0))


def _stuck(rng: Generator, n: int) -> Iterator[Case]:
    noise = rng.normal(size=n)
    t = np.arange(n) / n

    def case(name: str, sick: bool, values: Floats) -> Case:
        return Case("not_learning", name, sick, values)

    yield case("guessing among ten", True, np.log(10) + 0.01 * noise)
    yield case("guessing among two", True, np.log(2) + 0.02 * noise)
    yield case("a regression at the targets' variance", True, 7.3 + 0.15 * noise)
    yield case("a level below zero", True, -4 + 0.05 * noise)
    yield case("a power law", False, falling(rng, n))
    yield case("fine-tuning", False, 1.2 + 0.15 * noise)
    yield case("a fast fall", False, 1.2 + np.exp(-t / 0.005) + 0.01 * noise)
    yield case("a policy", False, 0.02 * noise - 0.01)
    yield case("wandering", False, 5 + walk(rng, n, 2.0))


def _decays(rng: Generator, n: int) -> Iterator[Case]:
    t = np.arange(n) / n
    noise = rng.normal(size=n)

    def loss(rate: Floats, speed: float = 30.0, floor: float = 0.0) -> Floats:
        """A power law of the rate spent, with a floor that is as high as the rate."""
        spent = np.cumsum(rate) / n / 1e-3
        fallen: Floats = 0.2 + 2 / (1 + speed * spent) + floor * rate / 1e-3
        return fallen * (1 + 0.03 * noise)

    def case(name: str, sick: bool, rate: Floats, values: Floats) -> Case:
        return Case("early_decay", name, sick, values, {"learning_rate": rate})

    tenth = np.where(t < 0.1, 1e-3, 1e-5)
    stairs = np.where(t < 0.06, 1e-3, np.where(t < 0.12, 1e-4, 1e-6))
    geometric = 1e-3 * 0.5 ** (t / 0.02)
    short = 1e-3 * (0.0005 + 0.5 * (1 + np.cos(np.pi * np.minimum(1, t / 0.1))))
    for name, rate in {
        "a hundredth at a tenth": tenth,
        "stairs at 6 and 12 %": stairs,
        "a factor at each step": geometric,
        "a cosine for a tenth of the run": short,
    }.items():
        yield case(name, True, rate, loss(rate))
    late = np.where(t < 0.6, 1e-3, np.where(t < 0.85, 1e-4, 1e-5))
    third = np.where(t < 1 / 3, 1e-3, np.where(t < 2 / 3, 1e-4, 1e-5))
    yield case("stairs at 60 and 85 %", False, late, loss(late))
    yield case("stairs at thirds that lower it", False, third, loss(third, 300, 0.3))
    yield case("stairs after a floor", False, third, 0.4 + 2 * np.exp(-t / 0.05) + 0.03 * noise)
    yield case("a cosine", False, cosine_lr(n), loss(cosine_lr(n)))
    linear = 1e-3 * (1 - t)
    yield case("a line to zero", False, linear, loss(linear))
    root = 1e-3 * np.minimum(t / 0.02, np.sqrt(0.02 / np.maximum(t, 1e-9)))
    yield case("an inverse root", False, root, loss(root))
    yield case("a constant rate", False, np.full(n, 1e-3), loss(np.full(n, 1e-3)))


def _validations(rng: Generator, n: int) -> Iterator[Case]:
    m = 30
    t = np.arange(m) / m
    noise = rng.normal(size=m)
    fell = {"train_loss": 2.3 * np.exp(-4 * t)}
    falls = 1 + 1.3 * np.exp(-t / 0.1)

    def case(name: str, sick: bool, values: Floats, context: Mapping[str, Floats] = fell) -> Case:
        return Case("overfitting", name, sick, values, context)

    yield case("down and up", True, falls + 1.5 * np.maximum(t - 0.3, 0) + 0.01 * noise)
    yield case("up from the start", True, 0.5 + t**0.5 + 0.01 * noise)
    yield case("down and up, noisy", True, falls + 2 * np.maximum(t - 0.3, 0) + 0.04 * noise)
    yield case("without the training loss", True, falls + np.maximum(t - 0.3, 0), {})
    yield case("down for good", False, falls + 0.02 * noise)
    yield case("flat noise", False, 1 + 0.05 * noise)
    yield case("a constant gap", False, fell["train_loss"] + 0.3 + 0.02 * noise)
    wiggle = falls + 0.05 * np.sin(20 * t) + 0.01 * noise
    yield case("wiggles", False, wiggle)
    up = {"train_loss": 0.5 + 2 * np.exp(-t / 0.1) + 3 * np.maximum(t - 0.3, 0)}
    yield case("both rise", False, falls + 1.5 * np.maximum(t - 0.3, 0), up)


def _clocks(rng: Generator, n: int) -> Iterator[Case]:
    jitter = np.exp(0.05 * rng.normal(size=n))
    at = np.arange(n)

    def case(name: str, sick: bool, seconds: Floats) -> Case:
        clock = 1.75e9 + np.cumsum(seconds * jitter)
        return Case("throughput_drop", name, sick, falling(rng, n), clock=clock)

    yield case("three times as long", True, np.where(at > n // 2, 1.5, 0.5))
    yield case("longer and longer", True, 0.5 * (1 + 2 * at / n))
    yield case("creeping up within fifty steps", True, 0.5 + 1 / (1 + np.exp((n / 2 - at) / 10)))
    yield case("steady", False, np.full(n, 0.5))
    yield case("slow first steps", False, np.where(at < 5, 60.0, 0.5))
    yield case("checkpoints", False, np.where(at % (n // 10) == n // 20, 60.0, 0.5))
    yield case("faster", False, np.where(at > n // 2, 0.2, 0.5))
    yield case("uneven machines", False, 0.5 * np.exp(0.3 * rng.normal(size=n)))


def _scales(rng: Generator, n: int) -> Iterator[Case]:
    at = np.arange(n)

    def case(name: str, sick: bool, exponents: Floats) -> Case:
        return Case("loss_scale_collapse", name, sick, 2.0**exponents)

    yield case("halved at each step", True, np.maximum(16.0 - np.maximum(at - n // 2, 0), -10))
    yield case("halved now and then", True, 16.0 - np.floor(np.maximum(at - n // 2, 0) / 20))
    yield case("the first descent", False, np.maximum(32.0 - at, 12.0))
    yield case("up and down", False, 14.0 + np.floor(at / 200) % 3)
    yield case("constant", False, np.full(n, 7.0))
    yield case("one throughout", False, np.zeros(n))
