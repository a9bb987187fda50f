"""Faults: units that say nothing, gradients too small and too great."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.faulty_loss import WILD
from tests.zoo.faulty_signal import HARDLY
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training
from tests.zoo.networks import mlp, weights
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    tensor,
)

# Units that say nothing


@faulty("dead_units", beside=(*HARDLY, "vanishing_gradient"))
def penalty_kills_the_latents(script: Script) -> None:
    """A sparse autoencoder whose penalty is far too strong: nearly all latents are off for good."""
    x = more.mixtures(script.seed)
    model = more.Sparse()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    source = batches(128, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        out, latent = model(a)
        script.scalar("sae/l0", float((latent > 0).float().sum(dim=1).mean()), step)
        error = (out - a).square().sum(dim=1).mean()
        script.scalar("sae/mse", float(error.detach()), step)
        total: Tensor = error + 40 * latent.abs().sum(dim=1).mean()
        return total

    Training(script, model, optimizer, loss, 800, Log(script, "sae/loss")).run()
    steps, active = script.curve("sae/l0")
    script.onset(int(steps[active < 0.05 * active[0]][0]), known=False)


@faulty(
    "dead_units",
    or_else=("oscillation", "divergence", "bad_init"),
    beside=(*HARDLY, "vanishing_gradient", "exploding_gradient", "loss_spike"),
)
def killed_at_the_first_steps(script: Script) -> None:
    """A warm-up upside down, from 0.5 to 0.0005: the first thirty steps switch most ReLUs off."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.ReLU, layers=4)
    optimizer = torch.optim.Adam(model.parameters(), 0.5)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: 10 ** -min(3.0, step / 10))
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "Loss/train", optimizer, "LR"), schedule=schedule).run()  # fmt: skip


@faulty("saturated_units", or_else=("unnormalised_input",),
    beside=(*HARDLY, "vanishing_gradient", "bad_init"))  # fmt: skip
def tanh_on_raw_counts(script: Script) -> None:
    """A converter's counts, 0 to 4095, into dilated convolutions with tanh."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    source = batches(32, (x * 500 + 2048).clamp(0, 4095), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train/loss")).run()  # fmt: skip


@faulty(
    "saturated_units",
    or_else=("bad_init", "vanishing_gradient"),
    beside=(*HARDLY, "oscillation", "divergence", "update_ratio"),
)
def actions_at_their_limits(script: Script) -> None:
    """An actor that ends in tanh is driven to its limits by a rate far too high, and stays."""
    actor = nn.Sequential(mlp(3, 32, 32, 2, act=nn.Tanh), nn.Tanh())
    optimizer = torch.optim.Adam(actor.parameters(), 0.3)
    rng = script.generator()

    def loss(step: int) -> Tensor:
        state = tensor(rng.normal(size=(64, 3)))
        wanted = 0.5 * torch.tanh(state[:, :2] + state[:, 2:])
        action = actor(state)
        script.scalar("rollout/ep_rew_mean", -float((action - wanted).abs().mean()), step)
        return F.mse_loss(action, wanted)

    Training(script, actor, optimizer, loss, 600, Log(script, "train/actor_loss")).run()


# Gradients too small and too great


@faulty("vanishing_gradient", or_else=("bad_init",), beside=(*HARDLY, "saturated_units"))
def convolutions_without_shortcuts(script: Script) -> None:
    """Twenty convolutions over time with SiLU, no norm, no shortcut: nothing gets through."""
    x, y = more.waves(script.seed, length=32)
    model = more.temporal(channels=12, layers=20, act=nn.SiLU)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 250,
        Log(script, "train_loss", optimizer, "lr-Adam")).run()  # fmt: skip


@faulty("vanishing_gradient", or_else=("bad_init",), beside=(*HARDLY, "saturated_units"))
def deep_autoencoder_of_sigmoids(script: Script) -> None:
    """Eight layers of sigmoids, as in 2006: it learns the mean picture and no more."""
    x, _, _, _ = digits("unit", seed=script.seed)
    model = more.plain(64, 48, 32, 24, 16, 24, 32, 48, 64, act=nn.Sigmoid)
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    source = batches(64, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        return F.mse_loss(model(a), a)

    Training(script, model, optimizer, loss, 600, Log(script, "reconstruction_loss")).run()


@faulty("exploding_gradient", or_else=("bad_init", "divergence", "loss_spike", "oscillation"),
    beside=(*WILD, "slow_learning"), advice="clip|learning rate|initiali[sz]ation")  # fmt: skip
def blocks_that_only_add(script: Script) -> None:
    """Sixteen residual blocks without norm, each doubling the signal; clipping hides the rest."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(more.residual_mlp(16, norm=False),
        lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"))  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", norm="train/grad_norm"), clip=1.0).run()  # fmt: skip


@faulty("exploding_gradient", or_else=("divergence", "loss_spike", "oscillation", "nonfinite"),
    beside=WILD, advice="clip|learning rate", hook=False)  # fmt: skip
def dynamics_run_away(script: Script) -> None:
    """A learnt dynamics unrolled for ever longer: from forty steps on its gradients explode."""
    rng = script.generator()
    field = mlp(3, 32, 3, act=nn.ELU)
    path = [tensor(rng.normal(size=(512, 3)))]
    mix = tensor(np.linalg.qr(rng.normal(size=(3, 3)))[0] * 0.25)
    for _ in range(60):
        path.append(path[-1] + torch.sin(2 * path[-1]) @ mix)
    truth = torch.stack(path, dim=1)
    optimizer = torch.optim.SGD(field.parameters(), 0.02)
    source = batches(64, truth, seed=script.seed)
    at = 250 + 50 * (script.seed % 3)

    def loss(step: int) -> Tensor:
        (seen,) = next(source)
        horizon = 60 if step >= at else 2
        state = seen[:, 0]
        for _ in range(horizon):
            state = state + field(state)
        return (state - seen[:, horizon]).square().mean()

    Training(script, field, optimizer, loss, 500, Log(script, "train/loss",
        norm="train/grad_norm"), clip=10.0).run()  # fmt: skip
    script.onset(at)
