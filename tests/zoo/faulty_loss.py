"""Faults: losses that climb, jump or swing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tests.zoo.kinds import faulty
from tests.zoo.loop import BARE, CHARTS, HUGGING_FACE, LIGHTNING, PLAIN, Plan, batches, fit
from tests.zoo.networks import deep, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, squared, teacher, tensor

RATE = ("divergence", "oscillation", "nonfinite")
"""A rate too high may show as any of these."""
WILD = ("exploding_gradient", "dead_units", "saturated_units", "update_ratio", "loss_spike",
    "gradient_noise", "vanishing_gradient", "not_learning", "unchanged_weights", "plateau",
    "overfitting")  # fmt: skip
"""What is also true of a network that has been blown up."""


@faulty("divergence", or_else=RATE, beside=WILD, advice="learning rate")
def rate_times_hundred(script: Script) -> None:
    """A bug in the schedule: a hundredfold rate from a step on, and the loss climbs for good."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    at = 400 + 50 * (script.seed % 3)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(32, x, y, seed=script.seed), cross_entropy, steps=1000,
        rate=lambda part: 100.0 if round(part * 1000) >= at else 1.0,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=LIGHTNING))  # fmt: skip
    script.onset(at)


@faulty(
    "divergence",
    beside=("loss_spike", "gradient_noise", "overfitting", "not_learning", "plateau"),
    hook=False,
)
def labels_spoilt(script: Script) -> None:
    """From a step on the labels are another data set's: the loss climbs above its start."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    at = 500 + 60 * (script.seed % 3)

    def other(number: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (batch[0], torch.randint(0, 10, (32,))) if number >= at else batch

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x, y, seed=script.seed, change=other), cross_entropy, steps=1000,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=CHARTS))  # fmt: skip
    script.onset(at)


@faulty("divergence", or_else=RATE, beside=WILD)
def deadly_triad(script: Script) -> None:
    """Bootstrapping off policy with shared features (Baird): the values chase themselves up."""
    rng = script.generator()
    features = tensor(np.eye(7, 8) * 2 + np.outer(np.ones(7), np.eye(8)[7]))
    features[6] = torch.tensor([0, 0, 0, 0, 0, 0, 1.0, 2.0])
    model = torch.nn.Linear(8, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1, 1, 1, 1, 1, 1, 10.0, 1.0]]))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with script.watch(model, optimizer):
        for step in range(800):
            state = torch.from_numpy(rng.integers(0, 7, 16))
            with torch.no_grad():
                goal = 0.99 * model(features[6:7]).expand(16, 1)
            loss = (model(features[state]) - goal).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            script.clock.sleep(0.1)
            script.scalar("losses/td_loss", float(loss), step)
            script.scalar("train/loss", float(loss), step)
    _, loss_curve = script.curve("train/loss")
    means = np.convolve(loss_curve, np.ones(20) / 20, "valid")
    # From its lowest it grows exponentially; that it has doubled is what can be seen.
    script.onset(int(np.flatnonzero(means < 2 * means.min())[-1]) + 20, known=False)


@faulty(
    "loss_spike",
    or_else=("divergence",),
    beside=("exploding_gradient", "update_ratio", "unnormalised_input", "gradient_noise"),
    severity="info",
)
def bad_batches(script: Script) -> None:
    """Two batches whose inputs were never scaled: the loss leaps and comes back."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    at = 350 + 40 * (script.seed % 4)

    def raw(number: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (batch[0] * 60 + 100, batch[1]) if number in (at, at + 350) else batch

    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.01, momentum=0.9),
        batches(64, x, y, seed=script.seed, change=raw), cross_entropy, steps=1000, clip=1.0,
        val=lambda: float(cross_entropy(model, vx, vy))))  # fmt: skip
    script.onset(at)


@faulty(
    "loss_spike",
    beside=("exploding_gradient", "gradient_noise", "oscillation", "overfitting"),
    severity="info",
    advice="L1|Huber",
    hook=False,
)
def heavy_tails(script: Script) -> None:
    """Targets with outliers of any size under a squared loss: single batches tower above all."""
    rng = script.generator()
    x, y = teacher(script.seed, samples=4096)
    y = y + tensor(0.05 * rng.standard_t(1.3, size=y.shape))
    model = mlp(16, 48, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-4),
        batches(32, x, y, seed=script.seed), squared, steps=1500, tags=PLAIN))  # fmt: skip
    _, loss = script.curve("loss")
    towers = np.flatnonzero(loss > 20 * np.median(loss[:300]))
    script.onset(int(towers[towers > 50][0]) if (towers > 50).any() else 0, known=False)


@faulty("oscillation", or_else=(*RATE, "not_learning"), beside=WILD, advice="learning rate")
def adam_at_one_half(script: Script) -> None:
    """Adam at five hundred times the usual rate: thrown up, and stuck there."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 128, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 0.5),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=800, tags=LIGHTNING))  # fmt: skip


@faulty(
    "oscillation",
    or_else=(*RATE, "loss_spike", "not_learning"),
    beside=WILD,
    advice="learning rate",
    hook=False,
)
def sgd_beyond_the_edge(script: Script) -> None:
    """A regression at the edge of the stable rate, in large batches: up and down, never lower."""
    x, y = teacher(script.seed, noise=0.02)
    model = mlp(16, 64, 64, 1)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.9),
        batches(128, x, 2 * y, seed=script.seed), squared, steps=800, clip=2.0,
        tags=BARE))  # fmt: skip


@faulty(
    "oscillation",
    or_else=(*RATE, "not_learning", "loss_spike"),
    beside=WILD,
    advice="learning rate",
)
def momentum_too_wild(script: Script) -> None:
    """SGD at a rate of 0.6 with momentum 0.95: the network is thrown about for the whole run."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.6, momentum=0.95),
        batches(16, x, y, seed=script.seed), cross_entropy, steps=800, tags=CHARTS))  # fmt: skip


@faulty(
    "exploding_gradient",
    or_else=("divergence", "nonfinite", "loss_spike", "oscillation"),
    beside=WILD,
    advice="clip|learning rate",
)
def recurrent_explosion(script: Script) -> None:
    """A plain RNN with recurrent weights above 1: fine on 8 steps, then there are 64."""
    rng = script.generator()
    steps = rng.normal(size=(1024, 64, 2))
    y = tensor(steps[:, -8:, 0].sum(axis=1, keepdims=True))
    cells = torch.nn.RNN(2, 24, nonlinearity="relu", batch_first=True)
    head = torch.nn.Linear(24, 1)
    model = torch.nn.ModuleDict({"cells": cells, "head": head})
    cells.load_state_dict({**cells.state_dict(), "weight_hh_l0": torch.eye(24) * 1.1})
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    at = 200 + 40 * (script.seed % 4)
    source = batches(32, tensor(steps), y, seed=script.seed)
    with script.watch(model, optimizer):
        for step in range(500):
            a, b = next(source)
            seen = a if step >= at else a[:, -8:]
            loss = (head(cells(seen)[0][:, -1]) - b).square().mean()
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            script.clock.sleep(0.2)
            script.scalar("train/loss", float(loss), step)
            script.scalar("train/grad_norm", float(norm), step)
    script.onset(at)


@faulty(
    "exploding_gradient",
    or_else=("divergence", "loss_spike", "nonfinite", "oscillation"),
    beside=WILD,
    hook=False,
)
def second_stage_too_fast(script: Script) -> None:
    """A second stage at sixty times the rate of the first: gradients explode, then the loss."""
    x, y, _, _ = digits(seed=script.seed)
    model = deep(6, width=48)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9),
        batches(32, x, y, seed=script.seed), cross_entropy, steps=600,
        rate=lambda part: 1.0 if part < 0.5 else 60.0, tags=HUGGING_FACE))  # fmt: skip
    script.onset(300)
