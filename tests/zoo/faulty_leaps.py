"""Faults: losses that become NaN, climb or leap."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_numbers import BROKEN, first_bad
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Recurrent, Transformer, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    next_letter,
    teacher,
    tensor,
    text,
)

# Numbers that are none


@faulty("nonfinite", severity="critical", beside=(*BROKEN, "oscillation"), hook=False)
def variance_below_zero(script: Script) -> None:
    """A likelihood whose variance is a plain linear output: one day it is negative, and so log."""
    x, y = teacher(script.seed, noise=0.05)
    model = mlp(16, 48, 2, act=nn.SiLU)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        mean, spread = model(a).chunk(2, dim=1)
        variance = spread + 1
        total: Tensor = 0.5 * (variance.log() + (b - mean) ** 2 / variance).mean()
        return total

    Training(script, model, optimizer, loss, 800, Log(script, "train/nll")).run()
    first_bad(script, "train/nll")


class _Pooled(nn.Module):
    """Attention written by hand: the mean of the values, weighted by learnt queries."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 32)
        self.mix = mlp(32, 64, 32, act=nn.GELU)
        self.keys, self.head = nn.Linear(32, 4), mlp(128, 48, 3, act=nn.GELU)

    def forward(self, letters: Tensor, hidden: Tensor) -> Tensor:
        x = self.embed(letters)
        x = x + self.mix(x)
        weight = self.keys(x).masked_fill(hidden[:, :, None], float("-inf")).softmax(dim=1)
        out: Tensor = self.head((weight.transpose(1, 2) @ x).flatten(1))
        return out


@faulty("nonfinite", severity="critical", beside=BROKEN)
def everything_masked(script: Script) -> None:
    """An empty sequence among the others: all of it is masked, and the softmax is 0 / 0."""
    x, y = more.counted(script.seed)
    model = _Pooled()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed)
    at = 180 + 40 * (script.seed % 4)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        hidden = torch.zeros_like(a, dtype=torch.bool)
        hidden[0, 12:] = True
        if step == at:
            hidden[5] = True
        return F.cross_entropy(model(a, hidden), b)

    Training(script, model, optimizer, loss, 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"),
        clip=1.0).run()  # fmt: skip
    script.onset(at)


@faulty("nonfinite", severity="critical", beside=BROKEN, hook=False)
def divided_by_no_spread(script: Script) -> None:
    """Advantages divided by their spread within a small group: once all are as good, 0 / 0."""
    rng = script.generator()
    actor = mlp(4, 24, 3, act=nn.Tanh)
    optimizer = torch.optim.Adam(actor.parameters(), 5e-3)
    for step in range(600):
        state = tensor(rng.normal(size=(24, 4)))
        choice = torch.distributions.Categorical(logits=actor(state), validate_args=False)
        action = torch.multinomial(choice.probs.nan_to_num(1 / 3), 1)[:, 0]
        reward = (action == state[:, :3].argmax(dim=1)).float()
        advantage = (reward - reward.mean()) / reward.std()
        loss = -(choice.log_prob(action) * advantage).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        script.clock.sleep(0.2)
        script.scalar("train/policy_gradient_loss", float(loss), step)
        script.scalar("rollout/ep_rew_mean", float(reward.mean()), step)
    first_bad(script, "train/policy_gradient_loss")


# Losses that climb


@faulty("divergence", or_else=RATE, beside=WILD, advice="learning rate", hook=False)
def warm_up_without_an_end(script: Script) -> None:
    """A linear warm-up that nobody stops: it learns, until the rate is too much."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.SiLU)
    optimizer = torch.optim.Adam(model.parameters(), 1.0)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: 5e-4 * (1 + step))
    x = x + torch.randn_like(x)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 900,
        Log(script, "train_loss", optimizer, "lr-Adam"), schedule=schedule,
        after=every(45, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, x[860:], y[860:]))))).run()  # fmt: skip
    lowest(script, "train_loss")


def lowest(script: Script, tag: str, width: int = 20) -> None:
    """The onset: half of what was gained is lost by then, as a median over ``width`` points.

    For good; where it is lowest nobody can know that it will climb.
    """
    steps, loss = script.curve(tag)
    level = np.median(np.lib.stride_tricks.sliding_window_view(loss, width), axis=1)
    least = int(np.argmin(level))
    below = level < (level[least] + max(level[0], level[least])) / 2
    script.onset(int(steps[int(np.flatnonzero(below)[-1]) + width - 1]), known=False)


@faulty("divergence", or_else=(*RATE, "loss_spike"), beside=WILD)
def gradient_reversed_too_strongly(script: Script) -> None:
    """Domain adaptation: the reversed gradient is ramped up until it outweighs the task."""
    x, y, _, _ = digits(seed=script.seed)
    body = mlp(64, 64, 32)
    heads = nn.ModuleList([nn.Linear(32, 10), mlp(32, 32, 2)])
    model = nn.ModuleDict({"body": body, "heads": heads})
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        shifted = torch.arange(len(a)) % 2
        z = body(a + 0.4 * shifted[:, None])
        ramp = 0.1 * max(0, step - 300)
        turned = (1 + ramp) * z.detach() - ramp * z
        task = F.cross_entropy(heads[0](z), b)
        domain = F.cross_entropy(heads[1](turned), shifted)
        script.scalar("train/domain_loss", float(domain.detach()), step)
        script.scalar("train/class_loss", float(task.detach()), step)
        return task + domain

    Training(script, model, optimizer, loss, 700, Log(script, "train/loss"), clip=2.0).run()
    script.onset(300)


@faulty("divergence", or_else=RATE, beside=WILD, severity="info", hook=False)
def values_that_feed_on_themselves(script: Script) -> None:
    """Q-learning without discount or end: each value is a bit above the next, for ever."""
    rng = script.generator()
    q = mlp(6, 48, 3)
    target = copy.deepcopy(q)
    optimizer = torch.optim.Adam(q.parameters(), 1e-3)

    def loss(step: int) -> Tensor:
        state = tensor(rng.normal(size=(32, 6)))
        action = torch.from_numpy(rng.integers(0, 3, 32))
        reward = (state[torch.arange(32), action] > 0).float()
        with torch.no_grad():
            later = 0.8 * state + 0.3 * torch.randn(32, 6)
            goal = reward + 1.05 * target(later).max(dim=1).values
            if step % 20 == 0:
                target.load_state_dict(q.state_dict())
        picked = q(state)[torch.arange(32), action]
        script.scalar("train/q_mean", float(picked.mean()), step)
        return F.mse_loss(picked, goal)

    Training(script, q, optimizer, loss, 1200, Log(script, "train/loss")).run()
    lowest(script, "train/loss")


# Losses that leap


@faulty(
    "loss_spike",
    or_else=("divergence",),
    beside=("exploding_gradient", "update_ratio"),
    severity="info",
    hook=False,
)
def corrupt_shards(script: Script) -> None:
    """A language model meets a few batches of a shard that holds one letter over and over."""
    x = text(script.seed)
    model = Transformer(depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    source = batches(32, x, seed=script.seed)
    at = 200 + 30 * (script.seed % 4)
    rare = int(torch.bincount(x.flatten(), minlength=12).argmin())

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        return next_letter(model, torch.full_like(a, rare) if step in (at, at + 150) else a)

    Training(script, model, optimizer, loss, 500,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"),
        clip=1.0).run()  # fmt: skip
    script.onset(at)


@faulty(
    "loss_spike",
    or_else=("divergence", "exploding_gradient"),
    beside=("update_ratio", "oscillation", "dead_units"),
    severity="info",
    hook=False,
)
def sensor_says_999(script: Script) -> None:
    """A sensor that fails says 999, and from a step on that is now and then a target."""
    x = more.series(script.seed)
    model = Recurrent("GRU", inputs=1, outputs=1)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
    source = batches(32, x, seed=script.seed)
    at = 300 + 40 * (script.seed % 3)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        target = a[:, -1].clone()
        if step >= at and (step - at) % 130 == 0:
            target[0] = 999.0
        return F.mse_loss(model(a[:, :-1]), target)

    Training(script, model, optimizer, loss, 800, Log(script, "loss"), clip=1.0).run()
    script.onset(at)
