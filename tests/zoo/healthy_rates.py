"""Healthy: schedules of the learning rate that move the loss by themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.zoo import rates
from tests.zoo.kinds import healthy
from tests.zoo.loop import (
    CHARTS,
    HUGGING_FACE,
    LIGHTNING,
    PLAIN,
    Plan,
    Tags,
    batches,
    fit,
    sequence,
)
from tests.zoo.networks import conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, squared, teacher


def _noisy(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Digits with a fifth of the labels wrong: a floor that takes a while to reach."""
    x, y, vx, vy = digits(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(y), generator=generator) < 0.2
    other = torch.randint(0, 10, y.shape, generator=generator)
    return x, torch.where(wrong, other, y), vx, vy


def _scheduled(
    script: Script, rate: Callable[[float], float], tags: Tags, lr: float = 2e-3, steps: int = 800
) -> None:
    x, y, vx, vy = _noisy(script.seed)
    model = mlp(64, 48, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), lr),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=steps, rate=rate,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=tags))  # fmt: skip


@healthy()
def warmup(script: Script) -> None:
    """Linear warm-up, then constant."""
    _scheduled(script, rates.warmup, HUGGING_FACE)


@healthy()
def cosine(script: Script) -> None:
    """Cosine to zero: the last tenth stands still by design."""
    _scheduled(script, rates.cosine, LIGHTNING)


@healthy(hook=False)
def cosine_unlogged_rate(script: Script) -> None:
    """Cosine whose learning rate nobody logs."""
    _scheduled(script, rates.cosine, Tags(loss="Loss/train", lr="", val="Loss/val"))


@healthy()
def one_cycle(script: Script) -> None:
    """One cycle up to ten times the usual rate and down again."""
    _scheduled(script, rates.one_cycle, CHARTS, lr=1e-2)


@healthy()
def warm_restarts(script: Script) -> None:
    """The loss rises at each restart."""
    _scheduled(script, rates.restarts, PLAIN, lr=5e-3)


@healthy(hook=False)
def cyclic(script: Script) -> None:
    """Triangular cycles."""
    _scheduled(script, rates.cyclic, CHARTS, lr=5e-3)


@healthy()
def linear_decay(script: Script) -> None:
    """As fine-tuning scripts have it."""
    _scheduled(script, rates.linear, HUGGING_FACE)


@healthy()
def inverse_root(script: Script) -> None:
    """The first transformer's schedule."""
    _scheduled(script, rates.inverse_root, PLAIN, lr=4e-3)


@healthy()
def tail_decay(script: Script) -> None:
    """A sudden drop to a tenth shortly before the end: what the article recommends."""
    _scheduled(script, rates.tail, LIGHTNING, lr=2e-3, steps=1000)


@healthy()
def step_decay_in_time(script: Script) -> None:
    """Tenths at 60 and 85 % of the run, each when the loss stood still."""
    x, y = teacher(script.seed, noise=0.5)
    model = mlp(16, 32, 1)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
        batches(32, x, y, seed=script.seed), squared, steps=1200,
        rate=sequence([(0, 1), (0.6, 0.1), (0.85, 0.01)])))  # fmt: skip


@healthy()
def rate_halved_on_plateaus(script: Script) -> None:
    """ReduceLROnPlateau, which halves the rate whenever the validation loss stands still."""
    x, y, vx, vy = _noisy(script.seed)
    model = conv(4)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    factor, best, bad = 1.0, float("inf"), 0

    def validate() -> float:
        nonlocal factor, best, bad
        loss = float(cross_entropy(model, vx, vy))
        bad = 0 if loss < best - 1e-3 else bad + 1
        best = min(best, loss)
        if bad >= 3:
            factor, bad = factor / 2, 0
        return loss

    fit(script, Plan(model, optimizer, batches(64, x, y, seed=script.seed), cross_entropy,
        steps=600, rate=lambda _: factor, val=validate, val_every=25))  # fmt: skip
