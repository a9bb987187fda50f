"""Runs whose truth is known: faults that must be found, and look-alikes that must stay quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from monitor.points import Floats, Ints


@dataclass(frozen=True)
class Scenario:
    """One loss curve and what is to be said of it."""

    name: str
    loss: Floats
    faults: frozenset[str] = frozenset()
    """Detectors of which one must speak up; none: a healthy run."""
    also: frozenset[str] = frozenset()
    """Detectors that may speak, too."""
    lr: Floats | None = None
    steps: Ints | None = None

    def every(self, k: int) -> Scenario:
        """The same run logged at every ``k``-th step."""
        steps = np.arange(0, len(self.loss), k, dtype=np.int64)
        lr = None if self.lr is None else self.lr[::k]
        return replace(self, name=f"{self.name}/every{k}", loss=self.loss[::k], steps=steps, lr=lr)

    def epochs(self, count: int = 20) -> Scenario:
        """The same run logged as ``count`` means."""
        per = len(self.loss) // count
        cut = self.loss[: per * count].reshape(count, per)
        lr = None if self.lr is None else self.lr[per - 1 :: per][:count]
        steps = np.arange(count, dtype=np.int64)
        return replace(self, name=f"{self.name}/epochs", loss=cut.mean(axis=1), steps=steps, lr=lr)

    def scaled(self, factor: float, shift: float = 0.0) -> Scenario:
        """The same run in other units."""
        return replace(
            self, name=f"{self.name}*{factor:g}{shift:+g}", loss=self.loss * factor + shift
        )


Curve = Callable[[Generator, int], Floats]


def falling(
    rng: Generator, n: int, start: float = 2.3, floor: float = 0.2, rate: float = 8.0
) -> Floats:
    """A power law with noise in proportion to the loss, still improving at the end."""
    t = np.arange(n) / n
    level = floor + (start - floor) / (1 + rate * t * 4) ** 0.6
    return level * (1 + 0.05 * rng.normal(size=n))


def exponential(
    rng: Generator,
    n: int,
    start: float = 2.3,
    floor: float = 0.4,
    tau: float = 0.1,
    noise: float = 0.05,
) -> Floats:
    t = np.arange(n) / n
    return floor + (start - floor) * np.exp(-t / tau) + noise * rng.normal(size=n)


def cosine_lr(n: int) -> Floats:
    return 1e-3 * 0.5 * (1 + np.cos(np.pi * np.arange(n) / n))


def _noise_levels(rng: Generator, level: Floats, low: float, high: float, lr: Floats) -> Floats:
    """Noise that shrinks with the learning rate, as that of SGD does."""
    result: Floats = level + (low + high * lr / lr.max()) * rng.normal(size=len(level))
    return result


def healthy(seed: int, n: int) -> Iterator[Scenario]:
    """Look-alikes."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) / n
    one = np.ones(n)

    def quiet(
        name: str, loss: Floats, lr: Floats | None = None, also: tuple[str, ...] = ()
    ) -> Scenario:
        return Scenario(f"{name}/{n}/{seed}", loss, lr=lr, also=frozenset(also))

    yield quiet("power law", falling(rng, n))
    yield quiet("power law, slow", falling(rng, n, rate=0.5))
    lr = cosine_lr(n)
    floor = 0.3 + 0.4 * lr / lr.max()
    yield quiet("cosine", _noise_levels(rng, floor + 1.6 * np.exp(-t / 0.08), 0.01, 0.1, lr), lr)
    yield quiet(
        "cosine, lr unknown", _noise_levels(rng, floor + 1.6 * np.exp(-t / 0.08), 0.01, 0.1, lr)
    )
    for known in (True, False):
        lr = np.where(t < 0.4, 1e-3, np.where(t < 0.7, 1e-4, 1e-5))
        level = np.where(t < 0.4, 0.5, np.where(t < 0.7, 0.3, 0.28)) + 1.8 * np.exp(-t / 0.12)
        loss = _noise_levels(rng, level, 0.01, 0.06, lr)
        yield quiet(
            "step decay" if known else "step decay, lr unknown",
            loss,
            lr if known else None,
            () if known else ("plateau",),
        )
    warm = np.minimum(1, t / 0.05)
    bump = 1.2 * np.exp(-(((t - 0.04) / 0.02) ** 2))
    yield quiet(
        "warm-up bump", 0.5 + 9.5 / (1 + 20 * t) + bump + 0.1 * rng.normal(size=n), 1e-3 * warm
    )
    cycle = np.abs(((t * 5) % 1) * 2 - 1)
    lr = 1e-3 * (0.1 + 0.9 * cycle)
    yield quiet(
        "cyclic lr", 0.3 + 2 * np.exp(-t / 0.15) + 0.35 * cycle + 0.05 * rng.normal(size=n), lr
    )
    yield quiet(
        "cyclic lr, unknown", 0.3 + 2 * np.exp(-t / 0.15) + 0.35 * cycle + 0.05 * rng.normal(size=n)
    )
    saw = (t * 4) % 1
    lr = 1e-3 * 0.5 * (1 + np.cos(np.pi * saw))
    yield quiet(
        "warm restarts",
        0.2 + 0.5 * (1 - saw) * (t > 0.25) + 2 * np.exp(-t / 0.1) + 0.05 * rng.normal(size=n),
        lr,
    )
    yield quiet("tiny batches", falling(rng, n) * np.exp(0.8 * rng.normal(size=n)))
    yield quiet("tiny batches, gamma", falling(rng, n) * rng.gamma(1.0, 1.0, size=n))
    spikes = (rng.random(n) < 0.01) * np.exp(2 + 1.5 * rng.normal(size=n))
    yield quiet("heavy-tailed spikes", falling(rng, n) + spikes, also=())
    recover = np.zeros(n)
    for at in rng.integers(n // 5, n, 6):
        recover[at:] += 3 * np.exp(-np.arange(n - at) / max(2, n / 150))
    yield quiet("spikes that recover", falling(rng, n) + recover)
    yield quiet("long plateau at ln 10 that breaks", math_ln10(rng, n, 0.6))
    yield quiet("short plateau at ln 10 that breaks", math_ln10(rng, n, 0.3))
    stuck = 2.303 + 0.003 * rng.normal(size=n) + 0.5 * np.exp(-t / 0.005)
    yield quiet("stuck at ln 10 after a first fall", stuck, also=("plateau",))
    yield quiet("constant", one * 0.693)
    yield quiet("white noise about a level (fine-tuning)", 1.2 + 0.15 * rng.normal(size=n))
    yield quiet("fine-tuning, a little progress", 1.2 - 0.1 * t + 0.15 * rng.normal(size=n))
    yield quiet("fine-tuning, skewed noise", 0.3 * np.exp(0.6 * rng.normal(size=n)) * (1 - 0.2 * t))
    yield quiet(
        "fine-tuning, fast small gain",
        1.2 - 0.15 * (1 - np.exp(-t / 0.03)) + 0.1 * rng.normal(size=n),
        cosine_lr(n),
    )
    yield quiet("linear descent", 3 - 2 * t + 0.02 * rng.normal(size=n))
    yield quiet("linear descent, smooth", 3 - 2 * t)
    yield quiet("converged near zero", 2.3 * np.exp(-t / 0.04) + 1e-4 * np.abs(rng.normal(size=n)))
    yield quiet("converged to rounding", np.maximum(2.3 * np.exp(-t / 0.03), 1e-7 * rng.random(n)))
    lr = cosine_lr(n)
    yield quiet(
        "label smoothing, cosine",
        0.9 + 1.4 * np.exp(-t / 0.1) + 0.02 * rng.normal(size=n) * lr / lr.max(),
        lr,
    )
    yield quiet("negative loss", -3 + falling(rng, n))
    yield quiet("negative loss, falling without end", -5 * t**0.5 + 0.1 * rng.normal(size=n))
    d = 1.39 - 0.8 * np.exp(-(((np.log10(t + 1e-3) + 1.5) / 0.5) ** 2)) + 0.15 * rng.normal(size=n)
    yield quiet("GAN discriminator", d, also=("plateau",))
    g = (
        0.7
        + 2.5 * (1 - np.exp(-t / 0.1))
        + walk(rng, n, 0.4)
        + (0.3 + 0.4 * t) * rng.normal(size=n)
    )
    yield quiet("GAN generator", g)
    wgan = -0.1 - 30 * t * (1 - 0.6 * t) + walk(rng, n, 2.0) + 1.5 * rng.normal(size=n)
    yield quiet("WGAN critic", wgan)
    yield quiet("WGAN generator", -wgan * 0.8 + walk(rng, n, 4.0))
    value = np.exp(1.2 * rng.normal(size=n)) * (0.05 + t**0.7)
    yield quiet("RL value loss, growing returns", value, also=())
    yield quiet("RL heavy noise", 0.05 * rng.standard_t(2, size=n))
    yield quiet("RL policy loss", 0.02 * rng.normal(size=n) - 0.01)
    burst = np.where(rng.random(n) < 0.1, np.exp(1.5 * rng.normal(size=n) + 1), 0.1 * rng.random(n))
    yield quiet("RL bursts", burst)
    yield quiet("random walk", 5 + walk(rng, n, 1.0))
    kl = (
        3 * np.exp(-t / 0.03)
        + 1
        + 0.8 * np.clip(t / 0.3, 0, 1)
        - 0.2 * t
        + 0.03 * rng.normal(size=n)
    )
    yield quiet("KL annealing", kl)
    curriculum = (
        0.5
        + 2 * np.exp(-t / 0.05)
        + 0.5 * np.floor(t * 4) * np.exp(-((t * 4) % 1) / 0.2)
        + 0.03 * rng.normal(size=n)
    )
    yield quiet("curriculum", curriculum, also=())
    huge = 1e5 * np.exp(-np.arange(n) / 4) + falling(rng, n)
    yield quiet("huge first steps", huge)
    rise = np.exp(np.minimum(np.arange(n) / 3.0, 12 - np.arange(n) / 3.0)) + falling(rng, n)
    yield quiet("catapult that comes back", rise)
    period = 0.15 * np.sin(2 * np.pi * np.arange(n) / 37)
    yield quiet("periodic data", falling(rng, n) + period)
    edge = 0.1 + 2.2 / (1 + 20 * t) + 0.03 * (-1.0) ** np.arange(n) * np.exp(-t)
    yield quiet("edge of stability", edge)
    yield quiet("epoch jumps", falling(rng, n) + 0.05 * ((t * 10) % 1))
    ar = ar1(rng, n, 0.9)
    yield quiet("autocorrelated noise about a level", 1 + 0.1 * ar)
    nans = falling(rng, n)
    nans[rng.random(n) < 0.05] = np.nan
    yield quiet("nan inside", nans, also=("nonfinite",))


def math_ln10(rng: Generator, n: int, until: float) -> Floats:
    t = np.arange(n) / n
    after = np.clip(t - until, 0, None)
    loss = 2.303 * (0.15 + 0.85 * np.exp(-after / 0.1)) + 0.004 * rng.normal(size=n)
    return loss + (t > until) * 0.08 * rng.normal(size=n)


def ar1(rng: Generator, n: int, phi: float) -> Floats:
    x = np.empty(n)
    x[0] = rng.normal()
    noise = rng.normal(size=n) * np.sqrt(1 - phi * phi)
    for i in range(1, n):
        x[i] = phi * x[i - 1] + noise[i]
    return x


def walk(rng: Generator, n: int, total: float) -> Floats:
    result: Floats = np.cumsum(rng.normal(size=n)) * total / np.sqrt(n)
    return result


def faulty(seed: int, n: int) -> Iterator[Scenario]:
    """Faults."""
    rng = np.random.default_rng(1000 + seed)
    t = np.arange(n) / n
    i = np.arange(n)

    def sick(
        name: str, loss: Floats, *faults: str, also: tuple[str, ...] = (), lr: Floats | None = None
    ) -> Scenario:
        return Scenario(f"{name}/{n}/{seed}", loss, frozenset(faults), frozenset(also), lr=lr)

    both = ("divergence", "oscillation")
    # Flat before it went wrong, or high and flat since: both true.
    flat = ("plateau",)
    good = falling(rng, n)
    after = np.clip(t - 0.5, 0, None)
    yield sick(
        "exponential divergence after good training",
        good + np.where(t > 0.5, 0.01 * np.expm1(after * 40), 0),
        "divergence",
        also=flat,
    )
    yield sick(
        "exponential divergence from the start",
        2.3 * np.exp(np.minimum(t * 30, 25)) * (1 + 0.05 * rng.normal(size=n)),
        "divergence",
    )
    yield sick(
        "divergence to a level",
        good + np.where(t > 0.6, 4.0, 0) * (1 + 0.2 * rng.normal(size=n)),
        "divergence",
        also=flat,
    )
    yield sick(
        "collapse to chance",
        np.where(t < 0.6, good, 2.303 + 0.01 * rng.normal(size=n)),
        "divergence",
        also=("plateau",),
    )
    yield sick("gradual divergence", good + np.clip(t - 0.3, 0, None) * 5, "divergence", also=flat)
    yield sick(
        "gradual divergence, noisy",
        (good + np.clip(t - 0.4, 0, None) * 6) * (1 + 0.15 * rng.normal(size=n)),
        "divergence",
        also=flat,
    )
    yield sick(
        "gradual divergence of a negative loss",
        -8 + good + np.clip(t - 0.4, 0, None) * 6,
        "divergence",
        also=flat,
    )
    yield sick(
        "divergence of a tiny loss",
        1e-6 * (good + np.where(t > 0.5, 3.0, 0)),
        "divergence",
        also=flat,
    )
    ramp = good + np.where(t > 0.5, 5 * np.minimum(1, (t - 0.5) / 0.1), 0)
    yield sick(
        "divergence with spikes", ramp + (rng.random(n) < 0.03) * 10, "divergence", also=flat
    )
    yield sick("period two", 1.5 + 0.5 * (-1.0) ** i + 0.05 * rng.normal(size=n), "oscillation")
    yield sick(
        "period two, growing",
        1.0 + 1.0 * np.exp(-t / 0.1) + 0.02 * np.exp(4 * t) * (-1.0) ** i,
        *both,
    )
    yield sick(
        "period two after good training",
        good + np.where(t > 0.4, 0.9, 0) * (1 + (-1.0) ** i) / 1.0 + 0.02 * rng.normal(size=n),
        *both,
    )
    slow = 0.4 + 1.9 * np.exp(-t / 0.1) + 0.03 * rng.normal(size=n)
    swing = 0.02 * np.exp(5.0 * t) * (1 + np.sin(2 * np.pi * i / 16))
    yield sick("slow growing oscillation", slow + swing, *both, also=flat)
    kicks = np.zeros(n)
    for at in rng.integers(3, n, max(6, n // 30)):
        kicks[at:] += np.exp(1.5 + rng.normal()) * np.exp(-np.arange(n - at) / 6)
    yield sick(
        "kicked above the start again and again",
        2.303 + 0.02 * np.abs(rng.normal(size=n)) + kicks,
        *both,
    )
    level = 0.5 + 1.8 * np.exp(-t / 0.08)
    lr = np.full(n, 1e-3)
    yield sick("noise floor at constant lr", level + 0.08 * rng.normal(size=n), "plateau", lr=lr)
    yield sick("noise floor, lr unknown", level * (1 + 0.15 * rng.normal(size=n)), "plateau")
    tail = np.where(t < 0.85, level, level - 0.2)
    yield sick(
        "noise floor, tail decay at last",
        tail + 0.08 * rng.normal(size=n),
        "plateau",
        lr=np.where(t < 0.85, 1e-3, 1e-4),
    )
    yield sick(
        "noise floor of a negative loss", -5 + level + 0.08 * rng.normal(size=n), "plateau", lr=lr
    )


def synthetic(seeds: range = range(2)) -> Iterator[Scenario]:
    """All of them at several lengths, and some in other units and rhythms."""
    for seed in seeds:
        for n in (200, 1000, 6000):
            for make in (healthy, faulty):
                yield from make(seed, n)
        for make in (healthy, faulty):
            for scenario in make(seed + 100, 4000):
                if not any(
                    word in scenario.name for word in ("period", "edge", "slow growing", "kicked")
                ):
                    yield scenario.every(50)
                if scenario.name.split("/")[0] in EPOCH_ABLE:
                    yield scenario.epochs(20)
                yield scenario.scaled(1e-6)


EPOCH_ABLE = {
    "power law",
    "cosine",
    "warm-up bump",
    "tiny batches",
    "linear descent",
    "negative loss",
    "label smoothing, cosine",
    "converged near zero",
    "white noise about a level (fine-tuning)",
    "GAN discriminator",
    "GAN generator",
    "WGAN critic",
    "divergence to a level",
    "collapse to chance",
    "gradual divergence",
    "step decay",
}
