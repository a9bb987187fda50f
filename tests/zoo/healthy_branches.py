"""Healthy: gates, branches, experts and units that are quiet, alike or odd on purpose."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, squared, teacher


class _Excite(nn.Module):
    """Squeeze and excitation: channels are weighed by gates that look at all of them."""

    def __init__(self, channels: int, inner: int = 4) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.gate(x.mean(dim=(2, 3)))[:, :, None, None]
        return out


@healthy()
def squeeze_and_excite(script: Script) -> None:
    """Convolutions with batch norm whose channels are weighed by sigmoid gates."""
    x, y, vx, vy = digits(seed=script.seed)
    parts: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    for a in (1, 12, 12):
        parts += [nn.Conv2d(a, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
            _Excite(12)]  # fmt: skip
    model = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 350,
        Log(script, "train/loss", optimizer, "train/lr"),
        schedule=lr_scheduler.CosineAnnealingLR(optimizer, 350),
        after=every(50, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


class _Scaled(nn.Module):
    """x + scale * f(x), where the scale is learnt and begins at (nearly) nothing."""

    def __init__(self, inner: nn.Module, scale: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.scale = nn.Parameter(scale)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.scale * self.inner(x)
        return out


@healthy()
def layer_scale_of_a_hundred_thousandth(script: Script) -> None:
    """Eight pre-norm blocks whose branches begin at 1e-5 of their size, as deep ViTs have it."""
    x, y, vx, vy = digits(seed=script.seed)
    blocks = [_Scaled(nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 96), nn.GELU(),
        nn.Linear(96, 48)), torch.full((48,), 1e-5)) for _ in range(8)]  # fmt: skip
    model = nn.Sequential(nn.Linear(64, 48), *blocks, nn.LayerNorm(48), nn.Linear(48, 10))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"), clip=1.0,
        schedule=lr_scheduler.OneCycleLR(optimizer, 2e-3, 400),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy()
def branches_that_begin_at_zero(script: Script) -> None:
    """ReZero: twelve blocks x + a f(x) with a = 0, so that at first f gets no gradient at all."""
    x, y = teacher(script.seed, samples=2048)
    blocks = [_Scaled(mlp(32, 32, 32), torch.zeros(1)) for _ in range(12)]
    model = nn.Sequential(nn.Linear(16, 32), *blocks, nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x[:1800], y[:1800], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 500,
        Log(script, "train_loss"), after=every(50, judged(script, model,
            val_loss=lambda: float(squared(model, x[1800:], y[1800:]))))).run()  # fmt: skip


class _Switch(nn.Module):
    """Each example runs through one expert only; an expert that nobody asks for does not run."""

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.router = nn.Linear(inputs, experts)
        self.experts = nn.ModuleList(mlp(inputs, 24, outputs) for _ in range(experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        chance = self.router(x).softmax(dim=1)
        value, picked = chance.max(dim=1)
        out = torch.zeros(len(x), self.experts[0][-1].out_features)  # type: ignore[index]
        for i, expert in enumerate(self.experts):
            mine = torch.nonzero(picked == i)[:, 0]
            if len(mine):
                out = out.index_copy(0, mine, expert(x[mine]) * value[mine, None])
        share = F.one_hot(picked, len(self.experts)).float().mean(dim=0)
        balance: Tensor = len(self.experts) * (share * chance.mean(dim=0)).sum()
        return out, balance


@healthy()
def experts_that_are_rarely_asked(script: Script) -> None:
    """A switch layer with eight experts, in batches of 24: some do not run in every step."""
    x, y, vx, vy = digits(seed=script.seed)
    model = _Switch(8, 64, 10)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    source = batches(24, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        out, balance = model(a)
        script.scalar("train/aux_loss", float(balance.detach()), step)
        total: Tensor = F.cross_entropy(out, b) + 0.2 * balance
        return total

    Training(script, model, optimizer, loss, 500, Log(script, "train/loss"), clip=1.0,
        after=every(100, judged(script, model,
            eval__loss=lambda: float(F.cross_entropy(model(vx)[0], vy))))).run()  # fmt: skip


class _Sine(nn.Module):
    """sin(30 (w x + b)), initialised as its authors have it."""

    def __init__(self, inputs: int, outputs: int, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else float(np.sqrt(6 / inputs)) / 30
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * self.linear(x))


@healthy()
def picture_as_a_function_of_sines(script: Script) -> None:
    """SIREN: from a place to a brightness, all pixels at each step, four layers of sines."""
    rng = script.generator()
    side = torch.linspace(-1, 1, 24)
    place = torch.stack(torch.meshgrid(side, side, indexing="ij"), dim=-1).reshape(-1, 2)
    speed = torch.from_numpy(rng.normal(size=(2, 6)) * 6).float()
    colour = torch.sin(place @ speed).mean(dim=1, keepdim=True)
    last = nn.Linear(48, 1)
    nn.init.uniform_(last.weight, -float(np.sqrt(6 / 48)) / 30, float(np.sqrt(6 / 48)) / 30)
    model = nn.Sequential(_Sine(2, 48, first=True), _Sine(48, 48), _Sine(48, 48), last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    Training(script, model, optimizer, lambda _: squared(model, place, colour), 500,
        Log(script, "loss")).run()  # fmt: skip


@healthy()
def weight_norm_over_time(script: Script) -> None:
    """A temporal network with weight norm, dropout and shortcuts' ReLUs, as TCNs are built."""
    x, y = more.waves(script.seed)
    parts: list[nn.Module] = []
    for i, a in enumerate((1, 16, 16, 16)):
        layer = nn.Conv1d(a, 16, 3, padding=2**i, dilation=2**i)
        parts += [parametrizations.weight_norm(layer), nn.ReLU(), nn.Dropout(0.1)]
    model = nn.Sequential(*parts, nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 350,
        Log(script, "train/loss"), after=every(50, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, x[860:], y[860:]))))).run()  # fmt: skip


@healthy()
def four_in_five_dropped(script: Script) -> None:
    """Wide ReLU layers of which four units in five are dropped: mostly zeros, and it learns."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 256, 256, 10, dropout=0.8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train_loss_step"), after=every(50, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy()
def pruned_to_a_tenth(script: Script) -> None:
    """Every 50 steps more of the smallest weights are set to zero for good, up to 90 %."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 128, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    matrices = [p for p in model.parameters() if p.ndim == 2][:2]
    masks = [torch.ones_like(p) for p in matrices]

    def prune(step: int) -> None:
        part = min(0.9, max(0.0, 0.15 * ((step - 100) // 50)))
        with torch.no_grad():
            for p, mask in zip(matrices, masks, strict=True):
                if step % 50 == 0:
                    mask.copy_(p.abs() > p.abs().flatten().quantile(part))
                p.mul_(mask)

    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train/loss"), after=every(1, prune)).run()  # fmt: skip


class _Signs(nn.Linear):
    """Weights are rounded to their signs; the gradient passes as if they were not."""

    def forward(self, x: Tensor) -> Tensor:
        signs = self.weight.sign() * self.weight.abs().mean(dim=1, keepdim=True)
        through = self.weight + (signs - self.weight).detach()
        return F.linear(x, through, self.bias)


@healthy()
def weights_of_one_bit(script: Script) -> None:
    """A network of signs with a straight-through estimator, batch norm and Hardtanh."""
    x, y, vx, vy = digits(seed=script.seed)
    model = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.Hardtanh(), _Signs(96, 96),
        nn.BatchNorm1d(96), nn.Hardtanh(), _Signs(96, 10))  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "Loss/train", optimizer, "LR"),
        schedule=lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 500),
        after=every(50, judged(script, model,
            Loss__val=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip
