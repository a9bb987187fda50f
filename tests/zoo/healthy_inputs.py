"""Healthy: inputs that look odd and are not, rows that are rarely touched, norms that are still."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, squared, tensor


@healthy()
def letters_of_dna(script: Script) -> None:
    """One-hot letters into convolutions that look for a motif, as in genomics."""
    rng = script.generator()
    letters = rng.integers(0, 4, (1536, 40))
    bound = rng.random(1536) < 0.5
    for i in np.flatnonzero(bound):
        at = rng.integers(0, 34)
        letters[i, at : at + 6] = (0, 2, 2, 1, 3, 0)
    x = tensor(np.eye(4)[letters]).transpose(1, 2).contiguous()
    y = tensor(bound)[:, None]
    model = nn.Sequential(nn.Conv1d(4, 24, 7), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(),
        nn.Linear(24, 24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 1))  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    source = batches(64, x[:1280], y[:1280], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, lambda _: error(*next(source)), 400,
        Log(script, "loss"), after=every(40, judged(script, model,
            val_loss=lambda: float(error(x[1280:], y[1280:]))))).run()  # fmt: skip


@healthy()
def bytes_under_batch_norm(script: Script) -> None:
    """Pixels from 0 to 255 into a batch norm, which whitens them: the same as whitening first."""
    x, y, vx, vy = digits("raw", seed=script.seed)
    model = nn.Sequential(nn.BatchNorm1d(64), conv(8, norm=True))
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 300,
        Log(script, "train/loss"), after=every(50, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy()
def few_rows_far_out(script: Script) -> None:
    """Whitened features with heavy tails: sums of money, of which some are forty spreads away."""
    rng = script.generator()
    money = rng.lognormal(0, 1.3, size=(3000, 12))
    money = (money - money.mean(axis=0)) / money.std(axis=0)
    calm = np.tanh(money @ rng.normal(size=(12, 8)) / 2)
    y = calm @ rng.normal(size=(8, 1)) / 2 + 0.1 * rng.normal(size=(3000, 1))
    x, y = tensor(money), tensor(y)
    model = mlp(12, 64, 32, 1, act=nn.LeakyReLU)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(128, x[:2700], y[:2700], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.huber_loss(model(a), b)

    Training(script, model, optimizer, lambda _: error(*next(source)), 600,
        Log(script, "train/loss", every=5, mean=True), after=every(60, judged(script, model,
            val__loss=lambda: float(error(x[2700:], y[2700:]))))).run()  # fmt: skip


@healthy()
def neighbours_of_words(script: Script) -> None:
    """Skip-grams with negative samples, SparseAdam: a step touches a few rows of two tables."""
    rng = script.generator()
    topic = rng.integers(0, 10, 600)
    often = 1 / np.arange(1, 601) ** 0.8
    groups = [np.flatnonzero(topic == t) for t in range(10)]
    first = rng.choice(600, 20000, p=often / often.sum())
    second = np.array([rng.choice(groups[topic[w]]) for w in first])
    source = batches(64, torch.from_numpy(first), torch.from_numpy(second), seed=script.seed)
    tables = nn.ModuleDict({name: nn.Embedding(600, 16, sparse=True) for name in ("word", "near")})
    nn.init.normal_(tables["word"].weight, std=0.1)  # type: ignore[arg-type]
    nn.init.zeros_(tables["near"].weight)  # type: ignore[arg-type]
    optimizer = torch.optim.SparseAdam(list(tables.parameters()), 5e-3)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        others = torch.randint(0, 600, (64, 5))
        z = tables["word"](a)
        near = (z * tables["near"](b)).sum(dim=1)
        far = (z[:, None] * tables["near"](others)).sum(dim=2)
        return -F.logsigmoid(near).mean() - F.logsigmoid(-far).sum(dim=1).mean()

    Training(script, tables, optimizer, loss, 900, Log(script, "train/nce_loss", every=5,
        mean=True)).run()  # fmt: skip


@healthy()
def norms_held_still(script: Script) -> None:
    """Fine-tuning a network whose batch norms stay in evaluation mode, as detectors' do."""
    x, y, vx, vy = digits(seed=script.seed)
    model = conv(12, norm=True, layers=3)
    first = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, y % 2, seed=script.seed)
    for _ in range(150):
        first.zero_grad()
        cross_entropy(model, *next(source)).backward()
        first.step()
    assert isinstance(model, nn.Sequential)
    model[-1] = nn.Linear(64 * 12, 10)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.requires_grad_(False)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], 0.01, momentum=0.9
    )
    source = batches(32, x, y, seed=script.seed)

    def still(_: int) -> None:
        for norm in norms:
            norm.eval()

    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 300,
        Log(script, "train/loss", optimizer, "train/lr"), before=still,
        after=every(50, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy()
def rays_by_their_frequencies(script: Script) -> None:
    """Places as sines and cosines of many frequencies, eight ReLU layers, a sigmoid at the end."""
    rng = script.generator()
    place = tensor(rng.uniform(-1, 1, (3000, 2)))
    turns = 2.0 ** torch.arange(5) * np.pi
    angles = (place[:, :, None] * turns).flatten(1)
    x = torch.cat([place, angles.sin(), angles.cos()], dim=1)
    y = (torch.sin(4 * place[:, :1]) * torch.cos(3 * place[:, 1:]) + 1) / 2
    model = nn.Sequential(mlp(22, *[64] * 6, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(256, x, y, seed=script.seed)

    def psnr(step: int) -> None:
        with torch.no_grad():
            told = -10 * torch.log10(squared(model, x[:500], y[:500]))
        script.scalar("train/psnr", float(told), step)

    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 600,
        Log(script, "train/loss", optimizer, "train/lr"), after=every(50, psnr),
        schedule=lr_scheduler.ExponentialLR(optimizer, 0.997)).run()  # fmt: skip


@healthy()
def clicks_of_rare_features(script: Script) -> None:
    """Three thousand binary features of which eight are on; one example in thirty is a click."""
    rng = script.generator()
    hot = rng.integers(0, 3000, (6000, 8))
    score = rng.normal(size=3000)[hot].sum(axis=1)
    x = torch.zeros(6000, 3000).scatter_(1, torch.from_numpy(hot), 1.0)
    y = tensor(score > np.quantile(score, 0.97))[:, None]
    model = mlp(3000, 32, 1)
    with torch.no_grad():
        model[-1].bias.fill_(-3.4)  # type: ignore[index]
    optimizer = torch.optim.Adagrad(model.parameters(), 0.02)
    source = batches(256, x[:5000], y[:5000], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, lambda _: error(*next(source)), 300,
        Log(script, "train/logloss", every=2, mean=True)).run()  # fmt: skip


class _Points(nn.Module):
    """A network of sets: each point by itself, then the maximum over all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 32), nn.LayerNorm(32), nn.ReLU(),
            nn.Linear(32, 64), nn.LayerNorm(64), nn.ReLU())  # fmt: skip
        self.all = mlp(64, 32, 3, dropout=0.3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.all(self.each(x).max(dim=1).values)
        return out


@healthy()
def clouds_of_points(script: Script) -> None:
    """Points in metres, five to each side, and the greatest of each channel over the cloud."""
    rng = script.generator()
    which = rng.integers(0, 3, 900)
    shape = np.array([[3.0, 3.0, 3.0], [4.5, 2.0, 1.0], [3.5, 3.5, 0.5]])[which]
    points = rng.normal(size=(900, 48, 3))
    points = points / np.linalg.norm(points, axis=2, keepdims=True) * shape[:, None]
    x = tensor(points + 0.3 * rng.normal(size=points.shape) + rng.normal(size=(900, 1, 3)))
    y = torch.from_numpy(which)
    model = _Points()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(16, x[:800], y[:800], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss"), after=every(50, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, x[800:], y[800:]))))).run()  # fmt: skip


@healthy(hook=False)
def horizon_of_a_power_plant(script: Script) -> None:
    """Quantiles of tomorrow's load: a pinball loss with a floor, by epochs, batches shuffled."""
    x = more.series(script.seed, 1024, 28)[:, :, 0]
    noise = tensor(script.generator().gumbel(size=(1024, 4)) * 0.2)
    past, ahead = x[:, :24], x[:, 24:] + noise
    model = mlp(24, 48, 12, act=nn.SiLU)
    levels = torch.tensor([0.1, 0.5, 0.9])[None, None]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, past[:896], ahead[:896], seed=script.seed)

    def pinball(a: Tensor, b: Tensor) -> Tensor:
        miss = b[:, :, None] - model(a).reshape(-1, 4, 3)
        return torch.maximum(levels * miss, (levels - 1) * miss).mean()

    Training(script, model, optimizer, lambda _: pinball(*next(source)), 900,
        Log(script, "train_loss_epoch", every=28, mean=True),
        after=every(28, judged(script, model,
            val_loss=lambda: float(pinball(past[896:], ahead[896:]))))).run()  # fmt: skip
