"""Healthy: several networks in one, heads that begin small, targets that follow by themselves."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Recurrent, Transformer, mlp, weights
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, teacher, tensor, text


@healthy()
def actor_beside_critic(script: Script) -> None:
    """Two networks of their own; the actor's last layer begins at a hundredth, as is usual."""
    actor, critic = mlp(4, 64, 64, 3, act=nn.Tanh), mlp(4, 64, 64, 1, act=nn.Tanh)
    nn.init.orthogonal_(actor[-1].weight, 0.01)  # type: ignore[index]
    model = nn.ModuleDict({"actor": actor, "critic": critic})
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def loss(step: int) -> Tensor:
        state = torch.randn(128, 4)
        chance = actor(state).log_softmax(dim=1)
        action = torch.multinomial(chance.exp(), 1)
        reward = (action[:, 0] == state[:, :3].argmax(dim=1)).float()
        value = critic(state)[:, 0]
        gain = (reward - value).detach()
        policy = -(chance.gather(1, action)[:, 0] * gain).mean()
        error = F.mse_loss(value, reward)
        entropy = -(chance.exp() * chance).sum(dim=1).mean()
        script.scalar("train/policy_loss", float(policy.detach()), step)
        script.scalar("train/value_loss", float(error.detach()), step)
        script.scalar("rollout/ep_rew_mean", float(reward.mean()), step)
        total: Tensor = policy + 0.5 * error - 0.01 * entropy
        return total

    Training(script, model, optimizer, loss, 500, Log(script, "train/loss"), clip=0.5).run()


@healthy()
def small_weights_at_a_brisk_rate(script: Script) -> None:
    """A language model whose weights begin at 0.02, by Adam at 0.003 from the first step on."""
    x = text(script.seed)
    model = weights(Transformer(depth=2), lambda w: nn.init.normal_(w, std=0.02))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    source = batches(32, x[:1800], seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 300,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"), clip=1.0,
        after=every(50, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[1800:]))))).run()  # fmt: skip


@healthy()
def target_within_the_model(script: Script) -> None:
    """BYOL in one module: the target is part of it and follows as an average, by no optimizer."""
    x, _, _, _ = digits(seed=script.seed)
    online, guess = mlp(64, 64, 32, norm=True), mlp(32, 48, 32, norm=True)
    target = copy.deepcopy(online)
    model = nn.ModuleDict({"online": online, "guess": guess, "target": target})
    optimizer = torch.optim.AdamW([*online.parameters(), *guess.parameters()], 1e-3)
    source = batches(128, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        one, two = (a * (torch.rand_like(a) > 0.3) + 0.3 * torch.randn_like(a) for _ in "ab")
        with torch.no_grad():
            goals = target(two), target(one)
        like = [F.cosine_similarity(guess(online(p)), q, dim=1).mean()
            for p, q in zip((one, two), goals, strict=True)]  # fmt: skip
        return 2 - like[0] - like[1]

    def follow(_: int) -> None:
        with torch.no_grad():
            for p, q in zip(online.parameters(), target.parameters(), strict=True):
                q.lerp_(p, 0.02)

    Training(script, model, optimizer, loss, 400, Log(script, "train/loss_ssl"),
        after=follow).run()  # fmt: skip


@healthy()
def model_of_the_world(script: Script) -> None:
    """A world, a critic and an actor, an optimizer each, losses of scales of their own."""
    world = mlp(5, 48, 48, 4, act=nn.SiLU)
    critic, actor = mlp(4, 48, 48, 1, act=nn.SiLU), mlp(4, 48, 48, 1, act=nn.SiLU)
    model = nn.ModuleDict({"actor": actor, "critic": critic, "world": world})
    optimizers = [torch.optim.Adam(m.parameters(), 1e-3) for m in (actor, critic, world)]
    turn = tensor(script.generator().normal(size=(4, 4)) / 2)

    def stepped(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    with script.watch(model, optimizers):
        for step in range(400):
            state = torch.randn(64, 4)
            action = torch.tanh(actor(state)).detach() + 0.2 * torch.randn(64, 1)
            later = torch.tanh(state @ turn) + action
            foretold = world(torch.cat([state, action], dim=1))
            value = -later.square().sum(dim=1, keepdim=True)
            goal = torch.tanh(actor(state))
            ahead = critic(world(torch.cat([state, goal], dim=1)))
            one = stepped(optimizers[0], -0.01 * ahead.mean())
            two = stepped(optimizers[1], F.mse_loss(critic(later), value))
            three = stepped(optimizers[2], 10 * F.mse_loss(foretold, later))
            script.clock.sleep(0.3)
            script.scalar("actor_loss", one, step)
            script.scalar("critic_loss", two, step)
            script.scalar("model_loss", three, step)


@healthy()
def one_in_fifty_under_decay(script: Script) -> None:
    """One example in fifty is positive, weight decay is strong: most units rest for most inputs."""
    rng = script.generator()
    x = rng.normal(size=(6000, 20))
    y = tensor((x[:, :3].sum(axis=1) + 0.3 * rng.normal(size=6000)) > 3.6)[:, None]
    model = mlp(20, 64, 32, 1)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.3)
    source = batches(128, tensor(x), y, seed=script.seed)

    def error(_: int) -> Tensor:
        a, b = next(source)
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, error, 1200, Log(script, "train/loss", every=4,
        mean=True)).run()  # fmt: skip


@healthy()
def two_stages_of_one_network(script: Script) -> None:
    """An encoder that is trained by its own loss first, with the head's rate still at zero."""
    x, y, vx, vy = digits(seed=script.seed)
    encoder, decoder, head = mlp(64, 48, 24), mlp(24, 48, 64), nn.Linear(24, 10)
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder, "head": head})
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        z = encoder(a)
        told = 0.2 * F.mse_loss(decoder(z), a)
        part = min(1.0, step / 100)
        total: Tensor = told + part * F.cross_entropy(head(z), b)
        return total

    def accuracy() -> float:
        return float((head(encoder(vx)).argmax(dim=1) == vy).float().mean())

    Training(script, model, optimizer, loss, 400, Log(script, "train/loss"),
        after=every(50, judged(script, model, val__accuracy=accuracy))).run()  # fmt: skip


@healthy()
def lstm_of_two_layers(script: Script) -> None:
    """Two layers of LSTM with a forget bias of one and an orthogonal start, gradients clipped."""
    rng = script.generator()
    x = tensor(rng.normal(size=(1024, 16, 4)))
    y = (x[:, ::4, 0].sum(dim=1) > 0).long()
    model = Recurrent("LSTM")
    for name, p in model.named_parameters():
        if "weight_hh" in name:
            nn.init.orthogonal_(p)
        elif "bias" in name and "cells" in name:
            nn.init.zeros_(p)
            with torch.no_grad():
                p[24:48] = 0.5
    optimizer = torch.optim.RMSprop(model.parameters(), 2e-3)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", norm="train/grad_norm"), clip=1.0).run()  # fmt: skip


@healthy()
def gaussian_with_a_spread(script: Script) -> None:
    """Means and spreads of a normal distribution, the spread's head begun at nothing."""
    x, y = teacher(script.seed, samples=2048)
    body, mean, spread = mlp(16, 64, 64, act=nn.ReLU), nn.Linear(64, 1), nn.Linear(64, 1)
    nn.init.zeros_(spread.weight)
    nn.init.zeros_(spread.bias)
    model = nn.ModuleDict({"body": body, "mean": mean, "spread": spread})
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        z = F.relu(body(a))
        told: Tensor = F.gaussian_nll_loss(mean(z), b, F.softplus(spread(z)) + 1e-3)
        return told

    Training(script, model, optimizer, loss, 500, Log(script, "train/nll")).run()


@healthy()
def values_that_grow_with_the_reward(script: Script) -> None:
    """Q-learning without scaling: rewards of one add up to sixteen, and gradients grow tenfold."""
    q = mlp(4, 64, 64, 2)
    late = copy.deepcopy(q)
    optimizer = torch.optim.Adam(q.parameters(), 1e-3)

    def loss(step: int) -> Tensor:
        state = torch.randn(64, 4)
        action = torch.randint(0, 2, (64, 1))
        kept = (action[:, 0] == (state[:, 0] > 0).long()).float()
        with torch.no_grad():
            later = 0.9 * state + 0.4 * torch.randn(64, 4)
            goal = 1 + 0.98 * (0.3 + 0.7 * kept) * late(later).max(dim=1).values
            if step % 15 == 0:
                late.load_state_dict(q.state_dict())
        value = q(state).gather(1, action)[:, 0]
        script.scalar("train/q_values", float(value.detach().mean()), step)
        return F.mse_loss(value, goal)

    Training(script, q, optimizer, loss, 1500, Log(script, "losses/td_loss", norm="grad_norm"),
        clip=1e6).run()  # fmt: skip


class _Many(nn.Module):
    """Thirty-two experts, one for each example, that run for their own examples only."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(16, 32)
        self.experts = nn.ModuleList(mlp(16, 12, 1) for _ in range(32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.router(x)
        chance = scores.softmax(dim=1)
        picked = (scores + 0.5 * torch.randn_like(scores)).argmax(dim=1)
        out = torch.zeros(len(x), 1)
        for i in picked.unique().tolist():
            mine = torch.nonzero(picked == i)[:, 0]
            out = out.index_copy(0, mine, self.experts[i](x[mine]) * chance[mine, i : i + 1] * 8)
        share = F.one_hot(picked, 32).float().mean(dim=0)
        return out, 32 * (share * chance.mean(dim=0)).sum()


@healthy()
def thirty_two_experts(script: Script) -> None:
    """Batches of 48 for 32 experts: in any one step a quarter of them are not asked."""
    x, y = teacher(script.seed, samples=4096)
    model = _Many()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    source = batches(48, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        out, balance = model(a)
        total: Tensor = F.mse_loss(out, b) + 0.05 * balance
        return total

    Training(script, model, optimizer, loss, 250, Log(script, "train/loss")).run()
