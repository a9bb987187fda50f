"""Healthy runs: losses of other kinds and sizes."""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import mlp
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    right,
    squared,
    tensor,
)


@healthy(hook=False)
@healthy(hook=False)
def loss_in_thousands(script: Script) -> None:
    """Targets as they are, up to 346, under a squared loss: from 29,000 to some 3,000."""
    measured, progress = load_diabetes(return_X_y=True)
    x, y = tensor(measured / measured.std(axis=0)), tensor(progress)[:, None]
    model = mlp(10, 32, 1)
    optimizer = torch.optim.RMSprop(model.parameters(), 5e-3)
    source = batches(32, x[:350], y[:350], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1200,
        Log(script, "mse", every=10, mean=True), after=every(100, judged(script, model,
            val_mse=lambda: float(squared(model, x[350:], y[350:]))))).run()  # fmt: skip


@healthy()
def physics_informed(script: Script) -> None:
    """A network that has to obey an equation: the loss falls by five orders, and jitters there."""
    model = mlp(1, 32, 32, 1, act=nn.Tanh)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.9985)
    zero = torch.zeros(1, 1, requires_grad=True)

    def slope(u: Tensor, t: Tensor) -> Tensor:
        return torch.autograd.grad(u.sum(), t, create_graph=True)[0]

    def loss(step: int) -> Tensor:
        t = (3 * torch.rand(64, 1)).requires_grad_()
        u = model(t)
        residual = slope(slope(u, t), t) + u
        start = model(zero)
        inside = residual.square().mean()
        edge = start.square().mean() + (slope(start, zero) - 1).square().mean()
        script.scalar("loss/residual", float(inside.detach()), step)
        script.scalar("loss/boundary", float(edge.detach()), step)
        total: Tensor = inside + edge
        return total

    Training(script, model, optimizer, loss, 1300, Log(script, "loss/total"),
        schedule=schedule).run()  # fmt: skip


@healthy(hook=False)
def loss_in_decibels(script: Script) -> None:
    """Speech people's loss: the negative signal-to-noise ratio, which crosses zero downwards."""
    clean = more.series(script.seed, 512, 64).transpose(1, 2)
    model = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3), nn.PReLU(),
        nn.Conv1d(16, 16, 7, padding=9, dilation=3), nn.PReLU(),
        nn.Conv1d(16, 1, 7, padding=3))  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(16, clean[:448], seed=script.seed)

    def decibels(network: nn.Module, signal: Tensor) -> Tensor:
        error = network(signal + 0.5 * torch.randn_like(signal)) - signal
        ratio = signal.square().sum(dim=(1, 2)) / error.square().sum(dim=(1, 2))
        return -10 * torch.log10(ratio + 1e-8).mean()

    Training(script, model, optimizer, lambda _: decibels(model, *next(source)), 600,
        Log(script, "train/si_snr_loss", norm="train/grad_norm"), clip=5.0,
        after=every(50, judged(script, model,
            val__si_snr_loss=lambda: float(decibels(model, clean[448:]))))).run()  # fmt: skip


@healthy()
def hinge_of_many_zeros(script: Script) -> None:
    """A linear support vector machine: in many batches the loss is exactly zero."""
    measured, benign = load_breast_cancer(return_X_y=True)
    x = tensor((measured - measured.mean(axis=0)) / measured.std(axis=0))
    y = tensor(2 * benign - 1)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(script.seed))
    x, y = x[order], y[order]
    model = nn.Linear(30, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, weight_decay=1e-3)
    source = batches(16, x[:450], y[:450], seed=script.seed)

    def hinge(a: Tensor, b: Tensor) -> Tensor:
        margin: Tensor = (1 - b * model(a)).clamp(min=0).mean()
        return margin

    Training(script, model, optimizer, lambda _: hinge(*next(source)), 800,
        Log(script, "hinge_loss"), after=every(80, judged(script, model,
            val_hinge_loss=lambda: float(hinge(x[450:], y[450:]))))).run()  # fmt: skip


@healthy(hook=False)
def actor_and_critic_on_a_slope(script: Script) -> None:
    """DDPG on a point that has to be driven home: the losses rise while the reward does."""
    actor = nn.Sequential(mlp(2, 32, 1), nn.Tanh())
    critic = mlp(3, 48, 48, 1)
    far_actor, far_critic = copy.deepcopy(actor), copy.deepcopy(critic)
    opt_a = torch.optim.Adam(actor.parameters(), 5e-4)
    opt_c = torch.optim.Adam(critic.parameters(), 1e-3)
    memory: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    state = torch.randn(16, 2)
    reached: list[float] = []
    for step in range(1000):
        with torch.no_grad():
            action = (actor(state) + 0.3 * torch.randn(16, 1)).clamp(-1, 1)
        speed = 0.9 * state[:, 1:] + 0.3 * action
        later = torch.cat([(state[:, :1] + 0.3 * speed).clamp(-2, 2), speed], dim=1)
        reward = -later[:, :1].square() - 0.05 * action.square()
        memory.append((state, action, reward, later))
        reached.append(float(reward.mean()))
        state = torch.randn(16, 2) if step % 25 == 24 else later
        picked = [memory[int(i)] for i in torch.randint(0, len(memory), (6,))]
        s, a, r, n = (torch.cat(part) for part in zip(*picked, strict=True))
        with torch.no_grad():
            goal = r + 0.9 * far_critic(torch.cat([n, far_actor(n)], dim=1))
        critic_loss = F.mse_loss(critic(torch.cat([s, a], dim=1)), goal)
        opt_c.zero_grad()
        critic_loss.backward()
        opt_c.step()
        actor_loss = -critic(torch.cat([s, actor(s)], dim=1)).mean()
        opt_a.zero_grad()
        actor_loss.backward()
        opt_a.step()
        with torch.no_grad():
            for near, far in ((actor, far_actor), (critic, far_critic)):
                for p, q in zip(near.parameters(), far.parameters(), strict=True):
                    q.lerp_(p, 0.02)
        script.clock.sleep(0.05)
        if step % 5 == 0:
            script.scalar("train/actor_loss", float(actor_loss), step)
            script.scalar("train/critic_loss", float(critic_loss), step)
        if step % 25 == 24:
            script.scalar("rollout/ep_rew_mean", 25 * float(np.mean(reached[-25:])), step)
            script.scalar("time/fps", 320.0 + 5 * float(torch.randn(())), step)


@healthy()
def codebook(script: Script) -> None:
    """A VQ-VAE: the commitment loss rises from zero as the code book comes into use."""
    x, _, vx, _ = digits(seed=script.seed)
    model = more.Quantised()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        out, to_code, to_latent = model(a)
        error = F.mse_loss(out, a)
        script.scalar("train/recon_loss", float(error.detach()), step)
        script.scalar("train/commitment_loss", float(to_latent.detach()), step)
        total: Tensor = error + to_code + 0.25 * to_latent
        return total

    Training(script, model, optimizer, loss, 900, Log(script, "train/loss"),
        after=every(100, judged(script, model,
            val__recon_loss=lambda: float(F.mse_loss(model(vx)[0], vx))))).run()  # fmt: skip


@healthy()
def teacher_lets_go(script: Script) -> None:
    """Scheduled sampling: the share of true inputs goes to zero, and the task becomes harder."""
    x = more.series(script.seed, length=20)
    cell, head = nn.GRUCell(1, 24), nn.Linear(24, 1)
    model = nn.ModuleDict({"cell": cell, "head": head})
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    source = batches(32, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        forced = max(0.0, 1.5 - step / 260)
        script.scalar("teacher_forcing", min(1.0, forced), step)
        state, total, guess = torch.zeros(len(a), 24), torch.zeros(()), a[:, 0]
        for i in range(a.shape[1] - 1):
            shown = a[:, i] if i < 6 or float(torch.rand(())) < forced else guess
            state = cell(shown, state)
            guess = head(state)
            total = total + (guess - a[:, i + 1]).square().mean()
        return total / (a.shape[1] - 1)

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss"), clip=1.0).run()


@healthy()
def dropout_that_grows(script: Script) -> None:
    """Dropout goes from 0 to 0.5: the training loss creeps up again, the validation's does not."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 96, 96, 10, dropout=0.01)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def grow(step: int) -> None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = min(0.6, 0.6 * step / 700)

    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 900,
        Log(script, "train_loss_step"), before=grow, after=every(44, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy)),
            val_acc=lambda: right(model, vx, vy)))).run()  # fmt: skip
