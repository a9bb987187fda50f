"""Series for the contract tests: one that is bad for each detector, and odd ones for all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from monitor.detectors import DETECTORS, Detector, WindowDetector
from monitor.points import Floats, Layers

DEPTH = 8
CHAIN = Layers(
    names=tuple(f"layers.{i}.weight" for i in range(DEPTH)),
    kinds=("Linear",) * DEPTH,
    shapes=((16, 16),) * DEPTH,
    followed_by=(*(f"layers.{i}.act:Sigmoid" for i in range(DEPTH - 1)), ""),
)


LAYERS: Mapping[str, Layers] = {
    "bad_init_hidden_by_norm": Layers(
        names=tuple(f"layers.{i}" for i in range(DEPTH)), kinds=("Linear", "BatchNorm1d") * 4
    ),
    "saturated_units": Layers(
        names=tuple(f"layers.{i}" for i in range(DEPTH)),
        kinds=("Linear", "Tanh") * 3 + ("Linear",) * 2,
    ),
}
"""What is looked at where :data:`CHAIN` will not do."""

REQUIRED: Mapping[str, Mapping[str, object]] = {
    "threshold": {"above": 100.0},
    "expression": {"expr": "median(value, 20) > min(median(value, 20 points)) + 3"},
}
"""What has to be said to detectors that have no sensible defaults."""


def default(name: str) -> Detector:
    """The detector with its defaults."""
    detector: Detector = DETECTORS[name](**REQUIRED.get(name, {}))
    return detector


@lru_cache(maxsize=1)
def bad_series() -> dict[str, Floats]:
    """For each detector that looks at values, a series on which it must speak up."""
    rng = np.random.default_rng(5)
    n = 800
    t = np.arange(n) / n
    falling = 0.4 + 1.9 * np.exp(-t / 0.1)
    noise = rng.normal(size=n)
    broken = falling.copy()
    broken[400:] = np.nan
    audited = np.full((3, DEPTH), np.nan)
    audited[:, 0], audited[1:, 3] = 1.0, -1.0
    return {
        "model_audit": audited,
        "nonfinite": broken,
        "divergence": falling + 0.03 * noise + np.where(t > 0.5, 4.0, 0.0),
        "threshold": 0.3 * noise + np.where(t > 0.5, 1000.0, 1.0),
        "expression": falling + 0.03 * noise + np.where(t > 0.5, 4.0, 0.0),
        "oscillation": 1.5 + 0.5 * (-1.0) ** np.arange(n) + 0.05 * noise,
        "plateau": 0.4 + 1.9 * np.exp(-np.arange(2000) / 50) + 0.1 * rng.normal(size=2000),
        "loss_spike": falling + 0.03 * noise + 20.0 * (np.arange(n) % 150 == 149),
        "slow_learning": 3 - t + 0.003 * noise,
        "not_learning": 2.303 + 0.01 * noise,
        "early_decay": 0.2 + 2 / (1 + np.minimum(t, 0.1) * 30) + 0.01 * noise,
        "overfitting": 1.0 + 1.5 * np.exp(-t / 0.1) + 2 * np.maximum(t - 0.3, 0) + 0.01 * noise,
        "throughput_drop": falling,
        "exploding_gradient": np.exp(0.3 * noise) * np.where(t > 0.5, 1e4, 1.0),
        "vanishing_gradient": 10.0 ** (np.arange(DEPTH) - DEPTH)
        * np.exp(0.3 * rng.normal(size=(60, DEPTH))),
        "bad_init": 10.0 ** (DEPTH - np.arange(DEPTH)) * np.exp(0.3 * rng.normal(size=(60, DEPTH))),
        "bad_init_hidden_by_norm": np.tile([9.0, 1.0], 4) * np.exp(0.1 * rng.normal(size=(60, 8))),
        "dead_units": np.where(np.arange(DEPTH) > 5, 1.0, 0.2) * np.ones((60, 1)),
        "saturated_units": np.where(np.arange(DEPTH) % 2 == 1, 0.9, np.nan) * np.ones((60, 1)),
        "unchanged_weights": np.where(np.arange(DEPTH) == 2, 0.0, 0.1) * np.ones((60, 1)),
        "update_ratio": np.where(np.arange(DEPTH) == 2, 0.4, 1e-3) * np.ones((60, 1)),
        "loss_scale_collapse": 2.0 ** np.maximum(16 - np.maximum(np.arange(n) - 300, 0), -8),
        "gradient_noise": 10.0 * np.exp(rng.normal(size=1600)),
        "optimizer_state_lost": np.where(np.arange(60) < 30, 500.0, -29.0) + np.arange(60),
        "rank_divergence": np.where(np.arange(DEPTH) == 2, 0.01, 0.0) * np.ones((60, 1)),
        "unnormalised_input": 1e8 + 1e6 * noise,
    }


def sees_layers(detector: WindowDetector) -> bool:
    """Whether it is shown layers; one that takes both, if that is what it looks at by itself."""
    if detector.layered is None:
        return "stat" in getattr(detector, "default_match", {})
    return detector.layered


def bad_context(name: str) -> dict[str, Floats] | None:
    """What else has to be known for that series to be bad."""
    t = np.arange(len(bad_series()[name]))
    contexts = {
        "early_decay": {"learning_rate": np.where(t < 80, 1e-3, 1e-4)},
        "gradient_noise": {"grad_norm": np.exp(np.random.default_rng(7).normal(size=len(t)))},
        "overfitting": {"train_loss": 2.5 * np.exp(-t / 200)},
    }
    return contexts.get(name)


def bad_clock(name: str) -> Floats | None:
    """When that series was written, if it is that which is bad."""
    if name != "throughput_drop":
        return None
    return np.cumsum(np.where(np.arange(len(bad_series()[name])) < 300, 1.0, 3.0))


def odd_series() -> dict[str, Floats]:
    """What no detector may stumble over."""
    rng = np.random.default_rng(6)
    noise = rng.normal(size=300)
    huge = 1e300 * (1 + 0.1 * noise)
    mixed = noise.copy()
    mixed[::3], mixed[1::7], mixed[2::11] = np.nan, np.inf, -np.inf
    return {
        "empty": np.empty(0),
        "one": np.ones(1),
        "two": np.arange(2.0),
        "zeros": np.zeros(300),
        "constant": np.full(300, 0.7),
        "nan": np.full(300, np.nan),
        "inf": np.full(300, np.inf),
        "mixed": mixed,
        "mostly nan": np.where(rng.random(300) < 0.95, np.nan, noise),
        "huge": huge,
        "huge, both signs": huge * np.sign(noise),
        "tiny": 1e-300 * (2 + noise),
        "denormal": 5e-324 * np.ones(300),
        "up to the greatest": np.geomspace(1e-300, 1.7e308, 300),
        "negative": -np.abs(noise),
        "alternating to infinity": (-1.0) ** np.arange(300) * np.geomspace(1, 1e308, 300),
    }


def widened(series: Floats, layered: bool) -> Floats:
    """The series for a detector of layers: a column each, shifted a little against each other."""
    if not layered or series.ndim == 2:
        return series
    return np.stack([np.roll(series, i) for i in range(DEPTH)], axis=1)
