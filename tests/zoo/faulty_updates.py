"""Faults: what the optimizer does to the weights, or does not."""

from __future__ import annotations

import copy

import torch
from torch import nn

from tests.zoo.kinds import faulty
from tests.zoo.loop import CHARTS, HUGGING_FACE, LIGHTNING, PLAIN, Plan, batches, fit
from tests.zoo.networks import conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, squared, teacher, text


@faulty("unchanged_weights", advice="optimizer", beside=("slow_learning", "plateau"))
def head_only_in_the_optimizer(script: Script) -> None:
    """The optimizer was given the head's parameters only; the rest was meant to be trained, too."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    assert isinstance(model, nn.Sequential)
    optimizer = torch.optim.Adam(model[4].parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def clear(_: int) -> None:
        model.zero_grad()

    fit(script, Plan(model, optimizer, source, cross_entropy, steps=500, before=clear,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=LIGHTNING))  # fmt: skip


@faulty("unchanged_weights", advice="optimizer", beside=("slow_learning", "plateau"))
def layer_replaced_too_late(script: Script) -> None:
    """A layer is replaced after the optimizer was made, which goes on moving the old one."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    assert isinstance(model, nn.Sequential)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model[2] = nn.Linear(64, 64)
    fit(script, Plan(model, optimizer, batches(64, x, y, seed=script.seed), cross_entropy,
        steps=500, before=lambda _: model.zero_grad(), tags=HUGGING_FACE,
        val=lambda: float(cross_entropy(model, vx, vy))))  # fmt: skip


@faulty("unchanged_weights", beside=("slow_learning", "plateau"))
def detached_on_the_way(script: Script) -> None:
    """A forgotten detach() between two parts: the first gets no gradient at all."""
    x, y, _, _ = digits(seed=script.seed)

    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = mlp(64, 48, 32)
            self.head = mlp(32, 32, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.encoder(x).detach())
            return out

    model = Parts()
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=500, tags=CHARTS))  # fmt: skip


@faulty(
    "update_ratio",
    or_else=("oscillation", "divergence", "loss_spike"),
    beside=("gradient_noise", "dead_units", "exploding_gradient", "slow_learning"),
)
def one_group_far_too_fast(script: Script) -> None:
    """A parameter group whose rate was written with the wrong exponent: 0.3 beside 0.001."""
    x = text(script.seed)
    embed, head = nn.Embedding(12, 32), mlp(32, 48, 12)
    model = nn.Sequential(embed, head)
    optimizer = torch.optim.Adam([
        {"params": head.parameters(), "lr": 1e-3}, {"params": embed.parameters(), "lr": 0.5},
    ])  # fmt: skip
    fit(script, Plan(model, optimizer, batches(32, x, seed=script.seed), next_letter,
        steps=500))  # fmt: skip


@faulty("update_ratio", or_else=("unchanged_weights", "slow_learning"), beside=("plateau",))
def one_group_hardly_moves(script: Script) -> None:
    """A group for the backbone at 1e-9: it may as well be frozen, and was not meant to be."""
    x, y, vx, vy = digits(seed=script.seed)
    model = conv(8, layers=3)
    assert isinstance(model, nn.Sequential)
    groups = [{"params": model[:-1].parameters(), "lr": 1e-9},
        {"params": model[-1].parameters(), "lr": 1e-3}]  # fmt: skip
    fit(script, Plan(model, torch.optim.Adam(groups), batches(64, x, y, seed=script.seed),
        cross_entropy, steps=400, val=lambda: float(cross_entropy(model, vx, vy))))  # fmt: skip


@faulty(
    "update_ratio",
    or_else=("oscillation", "divergence", "loss_spike", "not_learning"),
    beside=(
        "dead_units",
        "gradient_noise",
        "exploding_gradient",
        "plateau",
        "saturated_units",
        "vanishing_gradient",
        "unchanged_weights",
    ),
)
def fine_tuned_too_fast(script: Script) -> None:
    """Fine-tuning at Adam 0.1: each step moves the weights by as much as they are."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    for _ in range(200):
        optimizer.zero_grad()
        cross_entropy(model, *next(source)).backward()
        optimizer.step()
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 0.1),
        batches(64, x.flip(1), y, seed=script.seed), cross_entropy, steps=500,
        tags=HUGGING_FACE))  # fmt: skip


AFTER = ("loss_spike", "divergence", "exploding_gradient", "oscillation", "update_ratio")


@faulty("optimizer_state_lost", beside=AFTER, advice="state")
def adam_resumed_without_its_state(script: Script) -> None:
    """Resumed from the weights alone: Adam's first steps are as large as at the very start."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    plan = Plan(model, torch.optim.Adam(model.parameters(), 3e-3, betas=(0.9, 0.999)),
        batches(32, x, y, seed=script.seed), cross_entropy, steps=500,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=LIGHTNING)  # fmt: skip
    fit(script, plan)
    script.restart()
    script.clock.sleep(120)
    plan.optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    plan.first_step, plan.steps = 500, 1000
    fit(script, plan)
    script.onset(500)


@faulty("optimizer_state_lost", beside=AFTER, advice="state")
def resumed_from_an_older_checkpoint(script: Script) -> None:
    """The same after a crash, from a checkpoint a hundred steps back, in a new process."""
    x, y = teacher(script.seed, noise=0.02)
    model = mlp(16, 64, 64, 1)
    plan = Plan(model, torch.optim.AdamW(model.parameters(), 2e-3),
        batches(32, x, y, seed=script.seed), squared, steps=400, tags=PLAIN)  # fmt: skip
    fit(script, plan)
    saved = copy.deepcopy(model.state_dict())
    plan.first_step, plan.steps = 400, 500
    fit(script, plan)
    script.restart()
    script.clock.sleep(300)
    fresh = mlp(16, 64, 64, 1)
    fresh.load_state_dict(saved)
    fit(script, Plan(fresh, torch.optim.AdamW(fresh.parameters(), 2e-3),
        batches(32, x, y, seed=script.seed + 50), squared, first_step=400, steps=1000,
        tags=PLAIN))  # fmt: skip
    script.onset(400)
