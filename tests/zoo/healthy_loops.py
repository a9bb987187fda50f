"""Healthy: what people do in a loop besides training, and how they log it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo import rates
from tests.zoo.kinds import healthy
from tests.zoo.loop import CHARTS, HUGGING_FACE, LIGHTNING, PLAIN, Plan, Tags, batches, fit
from tests.zoo.networks import LowRank, Recurrent, Transformer, conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    next_letter,
    right,
    squared,
    teacher,
    tensor,
    text,
)


@healthy()
def sparse_logging(script: Script) -> None:
    """The loss at every 50th step only."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-4),
        batches(32, x, y, seed=script.seed), cross_entropy, steps=1500, log_every=50,
        val=lambda: float(cross_entropy(model, vx, vy)), val_every=500))  # fmt: skip


@healthy(hook=False)
def once_an_epoch(script: Script) -> None:
    """Keras's way: a point an epoch, training and validation in directories of their own."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 32, 10)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    for epoch in range(40):
        total = 0.0
        for _ in range(len(x) // 64):
            optimizer.zero_grad()
            loss = cross_entropy(model, *next(source))
            loss.backward()
            optimizer.step()
            total += float(loss) / (len(x) // 64)
        script.clock.sleep(20)
        with torch.no_grad():
            script.scalar("epoch_loss", total, epoch, "train")
            script.scalar("epoch_loss", float(cross_entropy(model, vx, vy)), epoch, "validation")
            script.scalar("epoch_accuracy", right(model, vx, vy), epoch, "validation")


@healthy()
def clipped(script: Script) -> None:
    """A recurrent network whose gradients are clipped in most steps."""
    rng = script.generator()
    x = rng.normal(size=(1024, 20, 4)).cumsum(axis=1) / 4
    model = Recurrent("GRU", outputs=1)
    target = tensor(x[:, -1, :1] * 2 + x[:, 10, 1:2])
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(32, tensor(x), target, seed=script.seed), squared, steps=400, clip=0.1,
        tags=Tags(norm="grad_norm")))  # fmt: skip


@healthy()
def fine_tuning_frozen(script: Script) -> None:
    """A new head on frozen layers, which were trained before."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 32, 10)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, y % 5, seed=script.seed)
    for _ in range(200):  # the pretraining, which nobody watches
        optimizer.zero_grad()
        cross_entropy(model, *next(source)).backward()
        optimizer.step()
    model.requires_grad_(False)
    assert isinstance(model, nn.Sequential)
    model[4] = nn.Linear(32, 10)
    fit(script, Plan(model, torch.optim.Adam(model[4].parameters(), 2e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=500,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=HUGGING_FACE))  # fmt: skip


@healthy()
def lora(script: Script) -> None:
    """Low-rank corrections, which begin at zero, beside frozen layers."""
    x, y, vx, vy = digits(seed=script.seed)
    base = mlp(64, 64, 64, 10)
    optimizer = torch.optim.Adam(base.parameters(), 2e-3)
    source = batches(64, x.flip(1), y, seed=script.seed)
    for _ in range(200):
        optimizer.zero_grad()
        cross_entropy(base, *next(source)).backward()
        optimizer.step()
    model = nn.Sequential(*[LowRank(m) if isinstance(m, nn.Linear) else m for m in base.children()])
    some = [p for p in model.parameters() if p.requires_grad]
    fit(script, Plan(model, torch.optim.AdamW(some, 2e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=600, rate=rates.linear,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=HUGGING_FACE))  # fmt: skip


@healthy()
def accumulated(script: Script) -> None:
    """Four small batches a step."""
    x, y, vx, vy = digits(seed=script.seed)
    model = conv(6)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(8, x, y, seed=script.seed), cross_entropy, steps=400, accumulate=4,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=LIGHTNING))  # fmt: skip


@healthy()
def scaler_skips(script: Script) -> None:
    """Loss scaling that overflows now and then and skips those steps, as it is meant to."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=60)

    def half(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        # The gradient passes through fp16 here, where 65,504 is the end.
        return F.cross_entropy(network(inputs).half().float(), targets)

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), half, steps=800, scaler=scaler,
        val=lambda: float(half(model, vx, vy)), tags=HUGGING_FACE))  # fmt: skip


@healthy()
def resumed_cleanly(script: Script) -> None:
    """Killed at step 350, resumed from the checkpoint of step 300 with all state."""
    x, y = teacher(script.seed)
    model = mlp(16, 48, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    plan = Plan(model, optimizer, batches(32, x, y, seed=script.seed), squared, steps=300,
        tags=PLAIN)  # fmt: skip
    fit(script, plan)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    plan.first_step, plan.steps = 300, 350
    fit(script, plan)
    script.restart()
    script.clock.sleep(300)
    fresh = mlp(16, 48, 1)
    again = torch.optim.Adam(fresh.parameters(), 1e-3)
    fresh.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    fit(script, Plan(fresh, again, batches(32, x, y, seed=script.seed + 50), squared,
        first_step=300, steps=800, tags=PLAIN))  # fmt: skip


@healthy()
def checkpoint_pauses(script: Script) -> None:
    """A long pause for a checkpoint and an evaluation every 150 steps, watched meanwhile."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 32, 10)

    def pause(step: int) -> None:
        if step and step % 150 == 0:
            script.heard_at(100, 180)
            script.clock.sleep(200)

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=600, before=pause,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=CHARTS))  # fmt: skip
    script.heard_at(3600)


@healthy()
def slow_first_steps(script: Script) -> None:
    """Compilation: the first step takes a minute, the first ten are slow."""
    x = text(script.seed)
    model = Transformer(depth=1)

    def seconds(step: int) -> float:
        return 60.0 if step == 0 else 2.0 if step < 10 else 0.3

    fit(script, Plan(model, torch.optim.AdamW(model.parameters(), 2e-3),
        batches(32, x, seed=script.seed), next_letter, steps=300, seconds=seconds))  # fmt: skip


@healthy(hook=False)
def uneven_steps(script: Script) -> None:
    """Sequences of many lengths: a step takes 0.1 to 1 s, at random."""
    x, y = teacher(script.seed)
    model = mlp(16, 48, 1)
    times = script.generator(3).uniform(0.1, 1.0, 800)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x, y, seed=script.seed), squared,
        seconds=lambda i: float(times[i])))  # fmt: skip


@healthy()
def validation_rarely(script: Script) -> None:
    """Two validations in all; the training loss is logged with a rolling mean."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 32, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=600, val_every=300,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=CHARTS))  # fmt: skip
