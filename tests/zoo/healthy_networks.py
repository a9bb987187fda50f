"""Healthy: games of two networks, rewards, and other things that are no plain descent."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo.kinds import healthy
from tests.zoo.loop import Plan, Tags, batches, fit
from tests.zoo.networks import Transformer, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import digits, next_letter, squared, teacher, tensor, text


@healthy()
def gan(script: Script) -> None:
    """A GAN on a ring of eight Gaussians: neither loss falls, and that is as it should be."""
    rng = script.generator()
    angle = rng.integers(0, 8, 4096) * np.pi / 4
    real = tensor(np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.normal(size=(4096, 2)))
    models = nn.ModuleDict({"g": mlp(4, 48, 48, 2), "d": mlp(2, 48, 48, 1)})
    g, d = models["g"], models["d"]
    opt_d = torch.optim.Adam(d.parameters(), 5e-4, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(g.parameters(), 5e-4, betas=(0.5, 0.999))
    source = batches(64, real, seed=script.seed)
    with script.watch(models, [opt_d, opt_g]):
        for step in range(800):
            (some,) = next(source)
            fake = g(torch.randn(64, 4))
            loss_d = F.softplus(-d(some)).mean() + F.softplus(d(fake.detach())).mean()
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
            loss_g = F.softplus(-d(fake)).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            script.clock.sleep(0.2)
            script.scalar("loss/D", float(loss_d), step)
            script.scalar("loss/G", float(loss_g), step)


@healthy(hook=False)
def gan_total_loss(script: Script) -> None:
    """The same kind of game under names that do not give it away."""
    rng = script.generator()
    real = tensor(rng.normal(size=(2048, 2)) @ np.array([[1.0, 0.5], [0.0, 0.6]]) + 2)
    g, d = mlp(4, 32, 2), mlp(2, 32, 1)
    opt_d = torch.optim.Adam(d.parameters(), 1e-3, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(g.parameters(), 1e-3, betas=(0.5, 0.999))
    source = batches(64, real, seed=script.seed)
    for step in range(1000):
        (some,) = next(source)
        fake = g(torch.randn(64, 4))
        loss_d = F.softplus(-d(some)).mean() + F.softplus(d(fake.detach())).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = F.softplus(-d(fake)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        script.clock.sleep(0.2)
        script.scalar("Generator/loss", float(loss_g), step)
        script.scalar("Discriminator/loss", float(loss_d), step)


@healthy()
def policy_gradient(script: Script) -> None:
    """Actor and critic on a chain: the policy's loss hovers around zero, the reward rises."""
    rng = script.generator()
    models = nn.ModuleDict({"actor": mlp(8, 32, 2), "critic": mlp(8, 32, 1)})
    optimizer = torch.optim.Adam(models.parameters(), 2e-3)
    with script.watch(models, optimizer):
        for step in range(600):
            state = torch.from_numpy(rng.normal(size=(64, 8)).astype(np.float32))
            choice = torch.distributions.Categorical(logits=models["actor"](state))
            action = choice.sample()
            best = (state[:, 0] + state[:, 1] * state[:, 2] > 0).long()
            reward = (action == best).float() + 0.3 * torch.randn(64)
            value = models["critic"](state).squeeze(1)
            advantage = (reward - value).detach()
            policy_loss = -(choice.log_prob(action) * advantage).mean()
            value_loss = (reward - value).square().mean()
            entropy = choice.entropy().mean()
            loss = policy_loss + 0.5 * value_loss - 0.01 * entropy
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            script.clock.sleep(0.5)
            script.scalar("rollout/ep_rew_mean", float(reward.mean()), step)
            script.scalar("train/policy_loss", float(policy_loss), step)
            script.scalar("train/value_loss", float(value_loss), step)
            script.scalar("train/entropy_loss", -float(entropy), step)
            script.scalar("train/loss", float(loss), step)


@healthy()
def q_learning(script: Script) -> None:
    """Q-learning with a target network: the loss rises with the values, which is learning."""
    rng = script.generator()
    q, target = mlp(6, 48, 3), mlp(6, 48, 3)
    target.load_state_dict(q.state_dict())
    optimizer = torch.optim.Adam(q.parameters(), 1e-3)
    with script.watch(q, optimizer):
        for step in range(1000):
            state = torch.from_numpy(rng.normal(size=(32, 6)).astype(np.float32))
            action = torch.from_numpy(rng.integers(0, 3, 32))
            reward = (state[torch.arange(32), action] > 0).float()
            later = 0.8 * state + 0.3 * torch.randn(32, 6)
            with torch.no_grad():
                goal = reward + 0.9 * target(later).max(dim=1).values
            loss = F.smooth_l1_loss(q(state)[torch.arange(32), action], goal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 0:
                target.load_state_dict(q.state_dict())
            script.clock.sleep(0.1)
            script.scalar("losses/td_loss", float(loss), step)
            script.scalar("charts/episodic_return", float(reward.mean()) * 10, step)


@healthy()
def two_optimizers(script: Script) -> None:
    """SGD for the embedding, Adam for the rest."""
    x = text(script.seed)
    model = Transformer(depth=1)
    rest = [p for n, p in model.named_parameters() if not n.startswith("embed")]
    first = torch.optim.SGD(model.embed.parameters(), 0.1)
    second = torch.optim.Adam(rest, 2e-3)
    source = batches(32, x, seed=script.seed)
    with script.watch(model, [first, second]):
        for step in range(400):
            first.zero_grad()
            second.zero_grad()
            loss = next_letter(model, *next(source))
            loss.backward()
            first.step()
            second.step()
            script.clock.sleep(0.2)
            script.scalar("train/loss", float(loss), step)
            script.scalar("train/lr/embedding", 0.1, step)
            script.scalar("train/lr/rest", 2e-3, step)


@healthy()
def distillation(script: Script) -> None:
    """A student follows a teacher's scores: the loss begins small and shrinks by orders."""
    x, y = teacher(script.seed, outputs=10, noise=0.0)
    model = mlp(16, 96, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(64, x, y, seed=script.seed), squared, steps=900,
        tags=Tags(loss="distill/total_loss", lr="distill/lr", val="")))  # fmt: skip


@healthy()
def linear_probe(script: Script) -> None:
    """Logistic regression: one layer, no noise, a slow and smooth descent that never ends."""
    x, y, _, _ = digits(seed=script.seed)
    model = nn.Linear(64, 10)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.05),
        batches(1400, x, y, seed=script.seed), lambda m, a, b: F.cross_entropy(m(a), b),
        steps=700))  # fmt: skip
