"""The training loop that people write, with what varies between them as settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tests.zoo.script import Script

Batches = Iterator[tuple[Tensor, ...]]


@dataclass(frozen=True)
class Tags:
    """What the script calls its curves; empty: not logged."""

    loss: str = "train/loss"
    lr: str = "train/lr"
    val: str = "val/loss"
    norm: str = ""
    score: str = ""


LIGHTNING = Tags("train_loss_step", "lr-Adam", "val_loss", "", "val_acc")
HUGGING_FACE = Tags("train/loss", "train/learning_rate", "eval/loss", "train/grad_norm")
CHARTS = Tags("Loss/train", "LR", "Loss/val", "", "Accuracy/val")
PLAIN = Tags("loss", "lr", "val_loss", "grad_norm")
BARE = Tags("loss", "", "val_loss")


@dataclass
class Plan:
    """What a script would spell out."""

    model: nn.Module
    optimizer: Optimizer
    batches: Batches
    loss: Callable[..., Tensor]
    """(model, *batch) -> loss."""
    steps: int = 800
    rate: Callable[[float], float] | None = None
    """Factor of the learning rate at part 0 ... 1 of the run."""
    clip: float = 0.0
    accumulate: int = 1
    val: Callable[[], float] | None = None
    val_every: int = 100
    score: Callable[[], float] | None = None
    log_every: int = 1
    seconds: Callable[[int], float] = lambda _: 0.25
    """How long a step takes, before jitter."""
    tags: Tags = field(default_factory=Tags)
    first_step: int = 0
    scaler: torch.amp.GradScaler | None = None
    before: Callable[[int], None] = lambda _: None
    """Called before each step."""
    place: str = ""


def fit(script: Script, plan: Plan) -> None:
    """Trains and logs from ``first_step`` up to ``steps``."""
    optimizer, model = plan.optimizer, plan.model
    base = [float(group["lr"]) for group in optimizer.param_groups]
    rng = script.generator(99)
    with script.watch(model, optimizer, plan.first_step, place=plan.place):
        for step in range(plan.first_step, plan.steps):
            plan.before(step)
            factor = 1.0 if plan.rate is None else plan.rate(step / plan.steps)
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            loss, norm = _step(plan)
            script.clock.sleep(plan.seconds(step) * float(np.exp(0.05 * rng.normal())))
            if step % plan.log_every == 0:
                _log(script, plan, step, loss, norm)
            if (step + 1) % plan.val_every == 0:
                _validate(script, plan, step)


def _step(plan: Plan) -> tuple[float, float]:
    """One optimizer step; (loss, gradient norm before clipping)."""
    plan.optimizer.zero_grad()
    total = 0.0
    for _ in range(plan.accumulate):
        loss = plan.loss(plan.model, *next(plan.batches)) / plan.accumulate
        (loss if plan.scaler is None else plan.scaler.scale(loss)).backward()
        total += float(loss.detach())
    if plan.scaler is not None:
        plan.scaler.unscale_(plan.optimizer)
    norm = 0.0
    if plan.clip or plan.tags.norm:
        limit = plan.clip or float("inf")
        norm = float(nn.utils.clip_grad_norm_(plan.model.parameters(), limit))
    if plan.scaler is None:
        plan.optimizer.step()
    else:
        plan.scaler.step(plan.optimizer)
        plan.scaler.update()
    return total, norm


def _log(script: Script, plan: Plan, step: int, loss: float, norm: float) -> None:
    tags = plan.tags
    script.scalar(tags.loss, loss, step, plan.place)
    if tags.lr:
        script.scalar(tags.lr, plan.optimizer.param_groups[0]["lr"], step, plan.place)
    if tags.norm:
        script.scalar(tags.norm, norm, step, plan.place)


def _validate(script: Script, plan: Plan, step: int) -> None:
    if plan.val is None and plan.score is None:
        return
    script.clock.sleep(4 * plan.seconds(step))
    plan.model.eval()
    with torch.no_grad():
        if plan.val is not None:
            script.scalar(plan.tags.val, plan.val(), step, plan.place)
        if plan.score is not None and plan.tags.score:
            script.scalar(plan.tags.score, plan.score(), step, plan.place)
    plan.model.train()


def batches(
    size: int,
    *tensors: Tensor,
    seed: int = 0,
    change: Callable[[int, tuple[Tensor, ...]], tuple[Tensor, ...]] | None = None,
) -> Batches:
    """Epoch after epoch in random order; ``change`` may spoil the batch of a number."""
    generator = torch.Generator().manual_seed(1000 + seed)
    number = 0
    while True:
        for chosen in torch.randperm(len(tensors[0]), generator=generator).split(size):
            if len(chosen) < size:
                continue
            batch = tuple(tensor[chosen] for tensor in tensors)
            yield batch if change is None else change(number, batch)
            number += 1


def sequence(factors: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """A step schedule: from part a of the run on, factor b; the last one that has begun counts."""
    return lambda part: [b for a, b in factors if part >= a][-1]
