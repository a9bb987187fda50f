"""What can be trained, and what a training logs; torch is only needed once one is trained."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.points import Floats, Layers


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how."""

    task: str = "classes"
    model: str = "mlp"
    activation: str = "relu"
    depth: int = 2
    width: int = 32
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "constant"
    batch: int = 32
    steps: int = 1000
    smoothing: float = 0.0
    clip: float = 0.0
    gain: float = 0.0
    """Scale of the initial weights, 0 for torch's own."""
    xavier: bool = False
    seed: int = 0
    samples: int = 1024


@dataclass(frozen=True)
class Log:
    """What a run would have logged at every step."""

    loss: Floats
    lr: Floats
    grad_norm: Floats
    layer_grads: Floats = field(default_factory=lambda: np.empty((0, 0)))
    layers: Layers | None = None


def train(recipe: Recipe) -> Log:
    """Trains it; skips the test where there is no torch."""
    pytest.importorskip("torch")
    from tests.detectors import training

    return training.train(recipe)
