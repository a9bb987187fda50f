"""Small data, real or made from the run's seed, and the losses that go with it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from monitor.points import Floats


def tensor(values: ArrayLike) -> Tensor:
    """As float32."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@lru_cache(maxsize=4)
def _digits(order: int) -> tuple[Floats, Floats]:
    images, classes = load_digits(return_X_y=True)
    shuffled = np.random.default_rng([77, order]).permutation(len(images))
    return images[shuffled], classes[shuffled]


def digits(scale: str = "whitened", seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """1,797 handwritten digits [N, 64] and classes: 1,400 to train on, the others held out.

    ``scale``: whitened, unit (0 to 1), raw (0 to 255).
    """
    images, classes = _digits(seed)
    x = tensor(images)
    x = {"whitened": (x - x.mean()) / x.std(), "unit": x / 16, "raw": x / 16 * 255}[scale]
    y = torch.from_numpy(classes)
    return x[:1400], y[:1400], x[1400:], y[1400:]


def diabetes() -> tuple[Tensor, Tensor]:
    """442 patients: ten whitened measurements [N, 10], the disease a year later [N, 1]."""
    measured, progress = load_diabetes(return_X_y=True)
    y = (progress - progress.mean()) / progress.std()
    return tensor(measured / measured.std(axis=0)), tensor(y)[:, None]


def teacher(
    seed: int, inputs: int = 16, outputs: int = 1, samples: int = 1024, noise: float = 0.1
) -> tuple[Tensor, Tensor]:
    """A smooth function of white inputs [N, inputs] -> [N, outputs], with noise."""
    rng = np.random.default_rng([seed, 5])
    x = rng.normal(size=(samples, inputs))
    hidden = np.tanh(x @ rng.normal(size=(inputs, 16)) / np.sqrt(inputs) * 1.5)
    y = hidden @ rng.normal(size=(16, outputs)) / 4 + noise * rng.normal(size=(samples, outputs))
    return tensor(x), tensor(y)


def text(seed: int, length: int = 16, samples: int = 2048, letters: int = 12) -> Tensor:
    """Sequences [N, length] of a random Markov chain."""
    rng = np.random.default_rng([seed, 6])
    chain = rng.dirichlet(np.full(letters, 0.3), size=letters).cumsum(axis=1)
    at = rng.integers(0, letters, samples)
    columns = [at]
    for _ in range(length - 1):
        at = np.minimum((rng.random(samples)[:, None] > chain[at]).sum(axis=1), letters - 1)
        columns.append(at)
    return torch.from_numpy(np.stack(columns, axis=1))


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Classification."""
    return F.cross_entropy(model(x), y)


def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Regression, L2."""
    return F.mse_loss(model(x), y)


def absolute(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Regression, L1."""
    return F.l1_loss(model(x), y)


def next_letter(model: nn.Module, sequence: Tensor) -> Tensor:
    """Language modelling: [N, T] tokens."""
    scores = model(sequence[:, :-1])
    return F.cross_entropy(scores.flatten(0, 1), sequence[:, 1:].flatten())


def right(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of right answers."""
    return float((model(x).argmax(dim=1) == y).float().mean())
