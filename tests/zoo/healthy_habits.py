"""Healthy runs: other habits, of rates, of logging and of restarts."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Transformer, mlp
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


@healthy(hook=False)
@healthy()
def long_warm_up(script: Script) -> None:
    """Post-norm layers and a warm-up over half of the run: slow at first, as it is meant."""
    x, y = more.counted(script.seed)
    model = more.Encoder(first=False)
    optimizer = torch.optim.AdamW(model.parameters(), 8e-4, weight_decay=0.1)
    schedule = lr_scheduler.LinearLR(optimizer, 1e-3, 1.0, 300)
    source = batches(32, x[:1800], y[:1800], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm", every=5),
        clip=1.0, schedule=schedule, after=every(60, judged(script, model,
            eval__loss=lambda: float(cross_entropy(model, x[1800:], y[1800:]))))).run()  # fmt: skip


@healthy()
def stepped_down_late(script: Script) -> None:
    """Dilated convolutions over time, Nesterov's momentum, tenths at 75 and 90 % of the run."""
    x, y = more.waves(script.seed)
    model = more.temporal()
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, nesterov=True)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "Loss/train", optimizer, "LR"),
        schedule=lr_scheduler.MultiStepLR(optimizer, [525, 630]),
        after=every(50, judged(script, model, **{
            "Loss/val": lambda: float(cross_entropy(model, x[860:], y[860:])),
            "Accuracy/val": lambda: right(model, x[860:], y[860:])}))).run()  # fmt: skip


class _Tied(nn.Module):
    """A GRU language model whose output layer is its embedding."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 32)
        nn.init.normal_(self.embed.weight, std=std)
        self.drop = nn.Dropout(0.2)
        self.cells = nn.GRU(32, 32, batch_first=True)

    def forward(self, letters: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        out, last = self.cells(self.drop(self.embed(letters)), state)
        return self.drop(out) @ self.embed.weight.T, last


@healthy(beside=("plateau",))
def tied_and_truncated(script: Script) -> None:
    """A language model with tied weights, SGD at a rate of 2 and gradients clipped to 0.25."""
    streams = text(script.seed, length=241, samples=48)
    model = _Tied(0.1)
    optimizer = torch.optim.SGD(model.parameters(), 2.0)
    state: Tensor | None = None

    def loss(step: int) -> Tensor:
        nonlocal state
        at = 20 * (step % 12)
        scores, last = model(streams[:32, at : at + 20], None if at == 0 else state)
        state = last.detach()
        return F.cross_entropy(scores.flatten(0, 1), streams[:32, at + 1 : at + 21].flatten())

    def validate() -> float:
        scores, _ = model(streams[32:, :-1])
        return float(F.cross_entropy(scores.flatten(0, 1), streams[32:, 1:].flatten()))

    Training(script, model, optimizer, loss, 900,
        Log(script, "train/loss", optimizer, "train/lr", "train/grad_norm", every=10, mean=True),
        clip=0.25, after=every(60, judged(script, model, valid__loss=validate,
            valid__ppl=lambda: float(np.exp(validate()))))).run()  # fmt: skip


@healthy(hook=False)
def one_task_after_another(script: Script) -> None:
    """Four tasks in turn: the loss leaps at each new one and falls again."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 96, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9)
    source = batches(32, x, y, seed=script.seed)
    orders = [torch.randperm(64) for _ in range(4)]

    def loss(step: int) -> Tensor:
        a, b = next(source)
        script.scalar("task", step // 250, step)
        return cross_entropy(model, a[:, orders[step // 250]], b)

    Training(script, model, optimizer, loss, 1000, Log(script, "loss")).run()


@healthy()
def strong_weight_decay(script: Script) -> None:
    """Residual blocks with RMS norm and SiLU under AdamW with a weight decay of 1."""
    x, y, vx, vy = digits(seed=script.seed)
    model = more.residual_mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1.0)
    schedule = lr_scheduler.OneCycleLR(optimizer, 2e-3, 500)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train_loss", optimizer, "lr-AdamW"), schedule=schedule,
        after=every(50, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy(hook=False, beside=("plateau",))
def already_trained(script: Script) -> None:
    """Training goes on from a finished checkpoint at a tenth of the rate: nearly flat."""
    x = text(script.seed)
    model = Transformer(depth=1)
    first = torch.optim.AdamW(model.parameters(), 3e-3)
    source = batches(32, x[:1800], seed=script.seed)
    for _ in range(300):
        first.zero_grad()
        next_letter(model, *next(source)).backward()
        first.step()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", every=5, mean=True),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[1800:]))))).run()  # fmt: skip


@healthy(hook=False)
def many_tasks_with_learnt_weights(script: Script) -> None:
    """Classes, ink and picture at once, each weighted by its own uncertainty: below zero."""
    x, y, _, _ = digits(seed=script.seed)
    ink = x.mean(dim=1, keepdim=True)
    body = more.plain(64, 64, 32, act=nn.ELU)
    heads = nn.ModuleList(nn.Linear(32, n) for n in (10, 1, 64))
    doubt = nn.Parameter(torch.zeros(3))
    model = nn.ModuleDict({"body": body, "heads": heads})
    optimizer = torch.optim.Adam([*model.parameters(), doubt], 2e-3)
    source = batches(64, x, y, ink, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b, c = next(source)
        one, two, three = (head(body(a)) for head in heads)
        parts = [F.cross_entropy(one, b), F.mse_loss(two, c), F.mse_loss(three, a)]
        for name, part in zip(("class", "ink", "picture"), parts, strict=True):
            script.scalar(f"train/{name}_loss", float(part.detach()), step)
        return (torch.stack(parts) * (-doubt).exp() + doubt).sum()

    Training(script, model, optimizer, loss, 900, Log(script, "train/total_loss")).run()


@healthy()
def letters_without_times(script: Script) -> None:
    """CTC: letters are heard without their times; at first only blanks are said."""
    rng = script.generator()
    letters = rng.integers(1, 6, (1024, 4))
    sounds = rng.normal(size=(6, 8))
    frames = np.stack([
        np.repeat(row, rng.multinomial(8, [0.25] * 4) + 4)[:24] for row in letters
    ])  # fmt: skip
    heard = tensor(sounds[frames] + 0.5 * rng.normal(size=(1024, 24, 8)))
    ears = nn.Sequential(nn.Conv1d(8, 24, 3, padding=1), nn.GELU(),
        nn.Conv1d(24, 24, 5, padding=2), nn.GELU(), nn.Conv1d(24, 6, 1))  # fmt: skip
    optimizer = torch.optim.AdamW(ears.parameters(), 2e-3)
    source = batches(32, heard.transpose(1, 2).contiguous(), torch.from_numpy(letters),
        seed=script.seed)  # fmt: skip

    def loss(_: int) -> Tensor:
        a, b = next(source)
        said = ears(a).permute(2, 0, 1).log_softmax(dim=2)
        return F.ctc_loss(said, b, torch.full((32,), 24), torch.full((32,), 4))

    Training(script, ears, optimizer, loss, 700, Log(script, "train/ctc_loss",
        norm="train/grad_norm"), clip=5.0).run()  # fmt: skip


@healthy(hook=False)
def bootstrapped_views(script: Script) -> None:
    """BYOL, which follows its own moving average: the loss falls and says little."""
    x, y, vx, vy = digits(seed=script.seed)
    online = mlp(64, 96, 32, norm=True)
    guess = mlp(32, 48, 32, norm=True)
    target = copy.deepcopy(online).requires_grad_(False)
    model = nn.ModuleDict({"online": online, "guess": guess})
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(128, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        one, two = (a * (torch.rand_like(a) > 0.3) + 0.3 * torch.randn_like(a) for _ in "ab")
        like = [F.cosine_similarity(guess(online(p)), target(q), dim=1).mean()
            for p, q in ((one, two), (two, one))]  # fmt: skip
        return 2 - like[0] - like[1]

    def after(step: int) -> None:
        with torch.no_grad():
            for p, q in zip(online.parameters(), target.parameters(), strict=True):
                q.lerp_(p, 0.02)
        if (step + 1) % 50 == 0:
            online.eval()
            with torch.no_grad():
                apart = torch.cdist(F.normalize(online(vx), dim=1), F.normalize(online(x), dim=1))
            score = (y[apart.argmin(dim=1)] == vy).float().mean()
            script.scalar("knn_accuracy", float(score), step)
            online.train()

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss_ssl"), after=after).run()


@healthy(beside=("plateau",))
def langevin_sampling(script: Script) -> None:
    """Noise is added to the weights on purpose: after the burn-in the loss is to hover."""
    x, y = teacher(script.seed, noise=0.3)
    model = mlp(16, 24, 1, act=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    source = batches(64, x, y, seed=script.seed)

    def shake(_: int) -> None:
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p), alpha=0.002)

    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1500,
        Log(script, "train/loss"), before=shake).run()  # fmt: skip


@healthy()
def restarts_of_doubled_length(script: Script) -> None:
    """Cosines of 100, 200 and 400 steps by AdamW, logged as a running mean."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.SiLU, norm=True)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 100, 2)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "loss", optimizer, "learning_rate", smooth=0.9), schedule=schedule,
        after=every(70, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, x[860:], y[860:]))))).run()  # fmt: skip


@healthy(hook=False)
def displacements_in_metres(script: Script) -> None:
    """Two thousand steps on displacements in metres, 0.0003 wide: the loss ends at 1e-8."""
    x, y = teacher(script.seed, noise=0.02)
    model = mlp(16, 64, 1, act=nn.GELU)
    with torch.no_grad():
        for p in model[2].parameters():  # type: ignore[index]
            p.mul_(1e-3)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4, eps=1e-12)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.999)
    source = batches(64, x, 3e-4 * y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 2000,
        Log(script, "train/mse", optimizer, "train/lr", every=50, mean=True),
        schedule=schedule).run()  # fmt: skip
