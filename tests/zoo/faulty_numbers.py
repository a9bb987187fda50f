"""Faults: numbers that are no numbers, and what a loss scaler makes of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo.kinds import faulty
from tests.zoo.loop import CHARTS, HUGGING_FACE, LIGHTNING, PLAIN, Plan, Tags, batches, fit
from tests.zoo.networks import deep, mlp, weights
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, squared, teacher

BROKEN = ("divergence", "loss_spike", "exploding_gradient", "dead_units", "update_ratio")
"""What may be true on the way to NaN."""


def first_bad(script: Script, tag: str) -> None:
    """The onset: the first value that is not finite."""
    steps, values = script.curve(tag)
    bad = steps[~np.isfinite(values)]
    script.onset(int(bad[0]) if len(bad) else script.note.last, known=False)


@faulty(
    "nonfinite",
    or_else=("bad_init", "exploding_gradient"),
    severity="critical",
    beside=(*BROKEN, "unnormalised_input"),
    advice="initiali[sz]ation",
)
def weights_far_too_wide(script: Script) -> None:
    """Normal weights of width 1 in nine ReLU layers: the square overflows, NaN at once."""
    x, y, _, _ = digits("raw", seed=script.seed)
    model = weights(deep(9, width=64, outputs=1), lambda w: nn.init.normal_(w, std=3.0))
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 1e-3),
        batches(32, x, y[:, None].float(), seed=script.seed), squared, steps=200))  # fmt: skip
    first_bad(script, "train/loss")


@faulty("nonfinite", severity="critical", beside=(*BROKEN, "oscillation"), hook=False)
def rate_far_too_high(script: Script) -> None:
    """SGD on a regression far beyond the stable rate: Inf, then NaN, within some steps."""
    x, y = teacher(script.seed)
    model = mlp(16, 48, 48, 1)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 3.0),
        batches(32, x, 5 * y, seed=script.seed), squared, steps=300, tags=PLAIN))  # fmt: skip
    first_bad(script, "loss")


@faulty("nonfinite", severity="critical", beside=BROKEN)
def log_of_zero(script: Script) -> None:
    """A cross-entropy written by hand, in fp16: once the network is sure and wrong, log(0)."""
    x, y, _, _ = digits(seed=script.seed)
    y = torch.where(torch.arange(len(y)) % 20 == 0, (y + 1) % 10, y)
    model = mlp(64, 64, 10)

    def by_hand(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        chance = torch.softmax(20 * network(inputs), dim=1).half()
        loss: Tensor = -torch.log(chance[torch.arange(len(targets)), targets]).float().mean()
        return loss

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-3),
        batches(32, x, y, seed=script.seed), by_hand, steps=800, tags=LIGHTNING))  # fmt: skip
    first_bad(script, "train_loss_step")


@faulty("nonfinite", severity="critical", beside=BROKEN)
def nan_in_the_data(script: Script) -> None:
    """A broken record: one batch holds a NaN, and from then on so does every weight."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 48, 10)
    at = 300 + 40 * (script.seed % 5)

    def broken(number: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if number == at:
            batch[0][3, 17] = float("nan")
        return batch

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x, y, seed=script.seed, change=broken), cross_entropy, steps=700,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=CHARTS))  # fmt: skip
    script.onset(at)


class _Half(nn.Module):
    """What passes is stored in fp16: 65,504 is the end."""

    def forward(self, x: Tensor) -> Tensor:
        return x.half().float()


@faulty("nonfinite", severity="critical", beside=(*BROKEN, "unnormalised_input"))
def fp16_activations_overflow(script: Script) -> None:
    """Activations in fp16, and a batch with outliers: Inf in a layer, then NaN everywhere."""
    x, y, _, _ = digits(seed=script.seed)
    model = nn.Sequential(nn.Linear(64, 64), _Half(), nn.LayerNorm(64), nn.ReLU(),
        nn.Linear(64, 10))  # fmt: skip
    at = 250 + 50 * (script.seed % 4)

    def outlier(number: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (batch[0] * 3e5, batch[1]) if number == at else batch

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x, y, seed=script.seed, change=outlier), cross_entropy, steps=600,
        tags=HUGGING_FACE))  # fmt: skip
    script.onset(at)


@faulty(
    "nonfinite",
    beside=("not_learning", "slow_learning", "plateau", "unchanged_weights", "update_ratio"),
)
def gradients_of_root_zero(script: Script) -> None:
    """sqrt at 0: the loss is fine, its gradient NaN; a guard skips the updates, for ever.

    From the step on at which the pairs of a siamese network hold duplicates.
    """
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 32, 8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed)
    at = 250 + 50 * (script.seed % 3)
    with script.watch(model, optimizer):
        for step in range(600):
            a, la = next(source)
            b, lb = next(source)
            if step >= at:
                b[:4], lb[:4] = a[:4], la[:4]
            distance = (model(a) - model(b)).square().sum(dim=1).sqrt()
            same = (la == lb).float()
            loss = (same * distance**2 + (1 - same) * (2 - distance).clamp(min=0) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
            if torch.isfinite(norm):
                optimizer.step()
            script.clock.sleep(0.2)
            script.scalar("train/loss", float(loss), step)
            script.scalar("train/grad_norm", float(norm), step)
    script.onset(at)


@faulty("nonfinite", beside=BROKEN, hook=False)
def gradient_norm_infinite(script: Script) -> None:
    """A term with the root of a spread, which is zero once all pictures of a batch are the same."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 32, 10)
    at = 300 + 30 * (script.seed % 3)

    def term(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        scores = network(inputs)
        spread = (inputs - inputs[:1]).square().sum() * scores.square().mean()
        loss: Tensor = F.cross_entropy(scores, targets) + 1e-6 * spread.sqrt()
        return loss

    def constant(number: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # The augmentation begins to return one picture for all.
        return (batch[0][:1].expand(32, -1).clone(), batch[1]) if number >= at else batch

    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed, change=constant)
    for step in range(700):
        loss = term(model, *next(source))
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        if torch.isfinite(norm):
            optimizer.step()
        script.clock.sleep(0.2)
        script.scalar("loss", float(loss), step)
        script.scalar("grad_norm", float(norm), step)
    script.onset(at)


SCALING = ("nonfinite", "not_learning", "slow_learning", "plateau", "unchanged_weights")


@faulty("loss_scale_collapse", or_else=("nonfinite",), beside=SCALING)
def scale_collapses(script: Script) -> None:
    """Every gradient is infinite from a step on: the scale is halved at each, down to nothing."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 48, 10)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=100)
    at = 200 + 50 * (script.seed % 3)
    step = 0

    def rooted(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal step
        scores = network(inputs)
        loss = F.cross_entropy(scores, targets)
        step += 1
        # A penalty that is switched on, with an infinite slope at zero.
        return loss + (scores - scores).square().sum().sqrt() if step > at else loss

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x, y, seed=script.seed), rooted, steps=500, scaler=scaler,
        before=lambda i: script.scalar("train/loss_scale", scaler.get_scale(), i),
        tags=Tags(norm="")))  # fmt: skip
    script.onset(at)


@faulty("loss_scale_collapse", or_else=("nonfinite",), beside=SCALING)
def scale_falls_by_and_by(script: Script) -> None:
    """Duplicates in most batches of a siamese network: their gradient is infinite."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 32, 8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=2000)
    source = batches(32, x, y, seed=script.seed)
    rng = script.generator()
    with script.watch(model, optimizer):
        for step in range(500):
            (a, la), (b, lb) = next(source), next(source)
            if rng.random() < 0.7:
                b[:1], lb[:1] = a[:1], la[:1]
            distance = (model(a) - model(b)).square().sum(dim=1).sqrt()
            same = (la == lb).float()
            loss = (same * distance**2 + (1 - same) * (2 - distance).clamp(min=0) ** 2).mean()
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            script.clock.sleep(0.2)
            script.scalar("train/loss", float(loss), step)
            script.scalar("amp/scale", scaler.get_scale(), step)
    steps, scale = script.curve("amp/scale")
    script.onset(int(steps[scale < 1][0]), known=False)
