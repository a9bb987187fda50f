"""Healthy: many layers, one behind the other, that keep the signal's scale by other means."""

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
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, text


class _Highway(nn.Module):
    """t h(x) + (1 - t) x, with a gate t that begins almost shut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        shut = nn.Linear(width, width)
        nn.init.constant_(shut.bias, -3.0)
        self.gate = nn.Sequential(shut, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        t = self.gate(x)
        out: Tensor = t * self.mix(x) + (1 - t) * x
        return out


@healthy()
def highway_of_ten(script: Script) -> None:
    """Ten highway layers whose sigmoid gates begin almost shut."""
    x, y, vx, vy = digits(seed=script.seed)
    model = nn.Sequential(nn.Linear(64, 40), *[_Highway(40) for _ in range(10)], nn.Linear(40, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train_loss", optimizer, "lr-SGD"), after=every(50, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy()
def sixteen_layers_that_normalise_themselves(script: Script) -> None:
    """SELU, LeCun's normal initialisation and alpha dropout, sixteen layers deep."""
    x, y, vx, vy = digits(seed=script.seed)
    parts: list[nn.Module] = []
    for a in (64, *[48] * 15):
        layer = nn.Linear(a, 48)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        nn.init.zeros_(layer.bias)
        parts += [layer, nn.SELU(), nn.AlphaDropout(0.02)]
    model = nn.Sequential(*parts, nn.Linear(48, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss"), after=every(50, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


class _Written(nn.Module):
    """A language model by hand: tied embedding of width 0.02, RMS norm, gated feed-forward."""

    def __init__(self, letters: int = 24, width: int = 48, depth: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        self.norms = nn.ModuleList(more.Rms(width) for _ in range(depth + 1))
        self.ups = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(depth))
        self.downs = nn.ModuleList(nn.Linear(2 * width, width, bias=False) for _ in range(depth))
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02)
        for down in self.downs:
            nn.init.normal_(down.weight, std=0.02 / float(np.sqrt(2 * depth)))  # type: ignore[arg-type]

    def forward(self, letters: Tensor) -> Tensor:
        x = self.embed(letters)
        for norm, up, gate, down in zip(self.norms, self.ups, self.gates, self.downs, strict=False):
            z = norm(x)
            x = x + down(F.silu(gate(z)) * up(z))
        out: Tensor = self.norms[-1](x) @ self.embed.weight.T
        return out


@healthy(beside=("plateau",))
def tied_and_quiet(script: Script) -> None:
    """Weight-tied language model, all weights of width 0.02, warm-up and cosine, as llamas are."""
    x = text(script.seed, letters=24, samples=3000)
    model = _Written()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    source = batches(32, x[:2700], seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm", every=2),
        clip=1.0, schedule=lr_scheduler.OneCycleLR(optimizer, 3e-3, 400, pct_start=0.1),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[2700:]))))).run()  # fmt: skip
