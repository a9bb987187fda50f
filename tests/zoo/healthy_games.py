"""Healthy: policies, critics, preferences and temperatures, whose losses have their own habits."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import swa_utils

from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Transformer, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, tensor, text


@healthy()
def proximal_policy(script: Script) -> None:
    """PPO: four passes over each batch of games; the policy's loss is about zero at all times."""
    body, policy, value = mlp(4, 32, 32, act=nn.Tanh), nn.Linear(32, 2), nn.Linear(32, 1)
    nn.init.orthogonal_(policy.weight, 0.01)
    model = nn.ModuleDict({"body": body, "policy": policy, "value": value})
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-5)
    count = 0

    def play() -> tuple[Tensor, ...]:
        with torch.no_grad():
            state = torch.randn(256, 4)
            chance = policy(body(state)).log_softmax(dim=1)
            action = torch.multinomial(chance.exp(), 1)
            good = (state[:, :2].sum(dim=1) > state[:, 2]).long()
            reward = (action[:, 0] == good).float() + 0.3 * torch.randn(256)
            advantage = reward - value(body(state))[:, 0]
            return state, action, chance.gather(1, action)[:, 0], advantage, reward

    with script.watch(model, optimizer):
        for round_ in range(60):
            state, action, before, advantage, reward = play()
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            for _ in range(4):
                for chosen in torch.randperm(256).split(64):
                    z = body(state[chosen])
                    chance = policy(z).log_softmax(dim=1)
                    now = chance.gather(1, action[chosen])[:, 0]
                    ratio = (now - before[chosen]).exp()
                    a = advantage[chosen]
                    actor = -torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a).mean()
                    critic = F.mse_loss(value(z)[:, 0], reward[chosen])
                    entropy = -(chance.exp() * chance).sum(dim=1).mean()
                    loss = actor + 0.5 * critic - 0.01 * entropy
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                    optimizer.step()
                    count += 1
            script.clock.sleep(2.0)
            at = 256 * (round_ + 1)
            script.scalar("losses/policy_loss", float(actor), at)
            script.scalar("losses/value_loss", float(critic), at)
            script.scalar("losses/entropy", float(entropy), at)
            script.scalar("charts/episodic_return", float(reward.mean()), at)


@healthy()
def critic_with_a_penalty(script: Script) -> None:
    """WGAN-GP: the critic's loss is below zero and shrinks; it makes five steps for one."""
    real = tensor(make_moons(4096, noise=0.05, random_state=script.seed)[0])
    models = nn.ModuleDict({"g": mlp(4, 48, 48, 2), "c": mlp(2, 48, 48, 1, act=nn.LeakyReLU)})
    g, c = models["g"], models["c"]
    opt_c = torch.optim.Adam(c.parameters(), 5e-4, betas=(0.0, 0.9))
    opt_g = torch.optim.Adam(g.parameters(), 5e-4, betas=(0.0, 0.9))
    source = batches(64, real, seed=script.seed)

    def criticise() -> Tensor:
        (some,) = next(source)
        fake = g(torch.randn(64, 4)).detach()
        mixed = torch.rand(64, 1)
        between = (mixed * some + (1 - mixed) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(c(between).sum(), between, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        loss: Tensor = c(fake).mean() - c(some).mean() + 10 * penalty
        opt_c.zero_grad()
        loss.backward()
        opt_c.step()
        return loss

    with script.watch(models, [opt_c, opt_g]):
        for step in range(300):
            for _ in range(5):
                loss_c = criticise()
            loss_g = -c(g(torch.randn(64, 4))).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            script.clock.sleep(0.4)
            script.scalar("critic_loss", float(loss_c), step)
            script.scalar("generator_loss", float(loss_g), step)


@healthy()
def temperature_that_is_learnt(script: Script) -> None:
    """CLIP: two views are matched, and the scale of their likeness grows from 14 on, as learnt."""
    x, _, vx, _ = digits(seed=script.seed)
    left, right = mlp(32, 64, 24, act=nn.GELU), mlp(32, 64, 24, act=nn.GELU)
    scale = nn.Parameter(torch.tensor(2.66))
    model = nn.ModuleDict({"left": left, "right": right})
    optimizer = torch.optim.AdamW([*model.parameters(), scale], 1e-3, weight_decay=0.1)
    source = batches(128, x, seed=script.seed)

    def matched(a: Tensor) -> Tensor:
        one, two = (F.normalize(net(half), dim=1) for net, half in
            ((left, a[:, :32]), (right, a[:, 32:])))  # fmt: skip
        scores = scale.clamp(max=4.6).exp() * one @ two.T
        same = torch.arange(len(a))
        return (F.cross_entropy(scores, same) + F.cross_entropy(scores.T, same)) / 2

    def loss(step: int) -> Tensor:
        script.scalar("train/logit_scale", float(scale.detach().exp()), step)
        return matched(*next(source))

    Training(script, model, optimizer, loss, 400, Log(script, "train/loss"),
        after=every(50, judged(script, model,
            val__loss=lambda: float(matched(vx[:128]))))).run()  # fmt: skip


@healthy()
def answers_that_people_prefer(script: Script) -> None:
    """DPO from a trained model: begins at exactly ln 2, and small steps are all there is."""
    x = text(script.seed)
    model = Transformer(depth=1)
    first = torch.optim.AdamW(model.parameters(), 3e-3)
    source = batches(32, x, seed=script.seed)
    for _ in range(120):
        first.zero_grad()
        next_letter(model, *next(source)).backward()
        first.step()
    frozen = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    worse = torch.roll(x, 1, dims=1)
    pairs = batches(32, x, worse, seed=script.seed)

    def likely(network: nn.Module, a: Tensor) -> Tensor:
        told = network(a[:, :-1]).log_softmax(dim=2)
        each: Tensor = told.gather(2, a[:, 1:, None])[:, :, 0].sum(dim=1)
        return each

    def loss(step: int) -> Tensor:
        good, bad = next(pairs)
        margin = likely(model, good) - likely(frozen, good)
        margin = 0.1 * (margin - likely(model, bad) + likely(frozen, bad))
        script.scalar("rewards/margins", float(margin.detach().mean()), step)
        return -F.logsigmoid(margin).mean()

    Training(script, model, optimizer, loss, 200, Log(script, "train/loss", optimizer,
        "train/learning_rate", "train/grad_norm"), clip=1.0).run()  # fmt: skip


@healthy(beside=("plateau",))
def noise_foretold(script: Script) -> None:
    """Diffusion with an average of the weights beside it: the loss drops and hovers, noisily."""
    x, _, _, _ = digits(seed=script.seed)
    model = mlp(66, 128, 128, 64, act=nn.SiLU)
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.99))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(64, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (clean,) = next(source)
        time = torch.rand(len(clean), 1)
        keep, noise = torch.cos(time * 1.57), torch.randn_like(clean)
        noisy = keep * clean + (1 - keep**2).sqrt() * noise
        return F.mse_loss(model(torch.cat([noisy, keep, time], dim=1)), noise)

    Training(script, model, optimizer, loss, 800, Log(script, "loss", norm="grad_norm"), clip=1.0,
        after=lambda _: average.update_parameters(model)).run()  # fmt: skip


@healthy(hook=False)
def teacher_that_is_an_average(script: Script) -> None:
    """Mean teacher: few labels, and a term for consistency that is ramped up meanwhile."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 96, 10, dropout=0.2)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    known = batches(32, x[:300], y[:300], seed=script.seed)
    others = batches(64, x, seed=script.seed + 1)

    def loss(step: int) -> Tensor:
        (a,) = next(others)
        with torch.no_grad():
            told = average(a + 0.2 * torch.randn_like(a)).softmax(dim=1)
        apart = (model(a + 0.2 * torch.randn_like(a)).softmax(dim=1) - told).square().sum(dim=1)
        ramp = 8 * min(1.0, step / 300) ** 2
        script.scalar("train/consistency", float(apart.mean()), step)
        total: Tensor = cross_entropy(model, *next(known)) + ramp * apart.mean()
        return total

    def after(step: int) -> None:
        with torch.no_grad():
            for p, q in zip(model.parameters(), average.parameters(), strict=True):
                q.lerp_(p, 0.02)
        if (step + 1) % 60 == 0:
            average.eval()
            with torch.no_grad():
                script.scalar("val/loss", float(cross_entropy(average, vx, vy)), step)
            average.train()

    Training(script, model, optimizer, loss, 700, Log(script, "train/loss"), after=after).run()


@healthy(hook=False)
def inner_loops(script: Script) -> None:
    """Reptile: what is logged is the loss before each task's own steps, which are many tasks'."""
    rng = script.generator()
    model = mlp(1, 48, 48, 1, act=nn.Tanh)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for step in range(500):
        phase, size = rng.uniform(0, 3.1), rng.uniform(0.5, 2)
        x = tensor(rng.uniform(-3, 3, (32, 1)))
        y = size * torch.sin(x + phase)
        inner = copy.deepcopy(model)
        steps = torch.optim.SGD(inner.parameters(), 0.02)
        for i in range(6):
            loss = F.mse_loss(inner(x), y)
            if i in (0, 5):
                script.scalar("train/loss" if i else "train/loss_before", float(loss), step)
            steps.zero_grad()
            loss.backward()
            steps.step()
        optimizer.zero_grad()
        for p, q in zip(model.parameters(), inner.parameters(), strict=True):
            p.grad = p.detach() - q.detach()
        optimizer.step()
        script.clock.sleep(0.3)
