"""What recipes share that are not of the common sort: networks, data, and ways of logging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tests.zoo.networks import Residual, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import tensor


@dataclass
class Log:
    """How a script tells of its steps."""

    script: Script
    loss: str = "loss"
    optimizer: Optimizer | None = None
    lr: str = ""
    norm: str = ""
    every: int = 1
    mean: bool = False
    """Of the steps since the last point, rather than the last step's value."""
    counted: bool = False
    """The axis counts points (epochs), not steps."""
    smooth: float = 0.0
    """A running mean with this memory, as fastai's."""
    place: str = ""
    """A directory below the run's."""
    _sum: float = 0.0
    _count: int = 0
    _running: float = 0.0
    _weight: float = 0.0

    def __call__(self, step: int, value: float, norm: float = 0.0) -> None:
        self._sum, self._count = self._sum + value, self._count + 1
        self._running = self.smooth * self._running + (1 - self.smooth) * value
        self._weight = self.smooth * self._weight + 1 - self.smooth
        if (step + 1) % self.every and (self.mean or step % self.every):
            return
        told = value
        if self.mean:
            told = self._sum / self._count
            self._sum, self._count = 0.0, 0
        elif self.smooth:
            told = self._running / self._weight
        at = step // self.every if self.counted else step
        self.script.scalar(self.loss, told, at, self.place)
        if self.lr and self.optimizer is not None:
            self.script.scalar(self.lr, float(self.optimizer.param_groups[0]["lr"]), at)
        if self.norm:
            self.script.scalar(self.norm, norm, at)


@dataclass
class Training:
    """A loop whose loss is a closure over the step."""

    script: Script
    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[int], Tensor]
    steps: int
    log: Callable[[int, float, float], None]
    clip: float = 0.0
    seconds: float = 0.2
    schedule: LRScheduler | None = None
    before: Callable[[int], None] = lambda _: None
    after: Callable[[int], None] = lambda _: None
    """After the step was logged."""
    first_step: int = 0
    scaler: torch.amp.GradScaler | None = None
    _rng: np.random.Generator = field(init=False)

    def run(self) -> None:
        """From the first step to the last."""
        self._rng = self.script.generator(98)
        with self.script.watch(self.model, self.optimizer, self.first_step):
            for step in range(self.first_step, self.steps):
                self.before(step)
                value, norm = self._step(step)
                self.script.clock.sleep(self.seconds * float(np.exp(0.05 * self._rng.normal())))
                self.log(step, value, norm)
                if self.schedule is not None:
                    self.schedule.step()
                self.after(step)

    def _step(self, step: int) -> tuple[float, float]:
        self.optimizer.zero_grad()
        loss = self.loss(step)
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        norm = 0.0
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.clip:
            norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.clip))
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return float(loss.detach()), norm


def every(steps: int, act: Callable[[int], None]) -> Callable[[int], None]:
    """Does it after every so many steps."""

    def now_and_then(step: int) -> None:
        if (step + 1) % steps == 0:
            act(step)

    return now_and_then


def judged(
    script: Script, model: nn.Module, **values: Callable[[], float]
) -> Callable[[int], None]:
    """Logs each value, found in evaluation mode; in names a double underscore is a slash."""

    def validate(step: int) -> None:
        model.eval()
        with torch.no_grad():
            for name, value in values.items():
                script.scalar(name.replace("__", "/"), value(), step)
        model.train()

    return validate


def sentences(seed: int, samples: int = 2048, longest: int = 12) -> tuple[Tensor, Tensor]:
    """Words [N, T] (0: padding) and tags [N, T] (-100: padding), which hang on the next word."""
    rng = np.random.default_rng([seed, 21])
    words = rng.integers(1, 20, size=(samples, longest))
    tags = (words + np.roll(words, -1, axis=1) % 2) % 4
    behind = np.arange(longest) >= rng.integers(5, longest + 1, samples)[:, None]
    words[behind], tags[behind] = 0, -100
    return torch.from_numpy(words), torch.from_numpy(tags)


def discs(seed: int, samples: int = 384, size: int = 16) -> tuple[Tensor, Tensor]:
    """Noisy images [N, 1, size, size] of a disc, and where it is."""
    rng = np.random.default_rng([seed, 22])
    at = rng.uniform(3, size - 3, size=(2, samples, 1, 1))
    radius = rng.uniform(2, 4, size=(samples, 1, 1))
    rows, columns = np.arange(size)[:, None], np.arange(size)[None]
    mask = (rows - at[0]) ** 2 + (columns - at[1]) ** 2 < radius**2
    image = mask + 0.6 * rng.normal(size=mask.shape)
    return tensor(image)[:, None], tensor(mask)[:, None]


def waves(seed: int, samples: int = 1024, length: int = 64) -> tuple[Tensor, Tensor]:
    """Signals [N, 1, T] with one of four frequencies in noise, and which [N]."""
    rng = np.random.default_rng([seed, 23])
    which = rng.integers(0, 4, samples)
    speed = np.array([0.2, 0.35, 0.55, 0.8])[which][:, None]
    phase = rng.uniform(0, 2 * np.pi, (samples, 1))
    signal = np.sin(speed * np.arange(length) + phase) + 0.8 * rng.normal(size=(samples, length))
    return tensor(signal)[:, None], torch.from_numpy(which)


def series(seed: int, samples: int = 512, length: int = 24) -> Tensor:
    """Damped swings [N, T, 1] of several periods, with a little noise."""
    rng = np.random.default_rng([seed, 24])
    time = np.arange(length)
    speed = rng.uniform(0.3, 0.8, (samples, 1))
    phase = rng.uniform(0, 2 * np.pi, (samples, 1))
    values = np.sin(speed * time + phase) * np.exp(-0.02 * time)
    return tensor(values + 0.03 * rng.normal(size=values.shape))[:, :, None]


def documents(
    seed: int, samples: int = 1200, words: int = 400, labels: int = 12
) -> tuple[Tensor, Tensor]:
    """Bags of 20 words [N, 20], and labels [N, labels], of which one in ten applies."""
    rng = np.random.default_rng([seed, 25])
    often = 1 / np.arange(1, words + 1) ** 0.7
    bags = rng.choice(words, size=(samples, 20), p=often / often.sum())
    meaning = rng.normal(size=(words, labels))
    score = meaning[bags].mean(axis=1) + 0.05 * rng.normal(size=(samples, labels))
    return torch.from_numpy(bags), tensor(score > np.quantile(score, 0.9, axis=0))


def ratings(
    seed: int, count: int = 8000, users: int = 200, items: int = 150, noise: float = 0.3
) -> tuple[Tensor, Tensor]:
    """Pairs [N, 2] of user and item, and ratings [N] about 3.5."""
    rng = np.random.default_rng([seed, 26])
    a, b = rng.normal(size=(users, 3)), rng.normal(size=(items, 3))
    pairs = np.stack([rng.integers(0, users, count), rng.integers(0, items, count)], axis=1)
    liked = (a[pairs[:, 0]] * b[pairs[:, 1]]).sum(axis=1) / 2
    return torch.from_numpy(pairs), tensor(3.5 + liked + noise * rng.normal(size=count))


def counted(seed: int, samples: int = 2048, length: int = 16) -> tuple[Tensor, Tensor]:
    """Sequences [N, T] of six letters, and which of the first three is the most frequent [N]."""
    rng = np.random.default_rng([seed, 27])
    letters = rng.integers(0, 6, size=(samples, length))
    counts = np.stack([(letters == k).sum(axis=1) for k in range(3)], axis=1)
    return torch.from_numpy(letters), torch.from_numpy(counts.argmax(axis=1))


class Tagger(nn.Module):
    """A bidirectional GRU over words [N, T] -> [N, T, tags]."""

    def __init__(self, words: int = 20, width: int = 24, tags: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, 16, padding_idx=0)
        self.cells = nn.GRU(16, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, tags)

    def forward(self, words: Tensor) -> Tensor:
        out: Tensor = self.head(self.cells(self.embed(words))[0])
        return out


def tagging(scores: Tensor, tags: Tensor) -> Tensor:
    """Cross-entropy without the padding."""
    return F.cross_entropy(scores.flatten(0, 1), tags.flatten(), ignore_index=-100)


class UNet(nn.Module):
    """Two levels down and up again, with shortcuts, group norm and SiLU."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()

        def block(a: int, b: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(4, b), nn.SiLU())

        self.first = block(1, channels)
        self.down = block(channels, 2 * channels)
        self.bottom = block(2 * channels, 2 * channels)
        self.up = block(4 * channels, channels)
        self.last = block(2 * channels, channels)
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        b = self.down(F.max_pool2d(a, 2))
        c = F.interpolate(self.bottom(F.max_pool2d(b, 2)), scale_factor=2.0)
        d = F.interpolate(self.up(torch.cat([b, c], dim=1)), scale_factor=2.0)
        out: Tensor = self.head(self.last(torch.cat([a, d], dim=1)))
        return out


def overlap(scores: Tensor, mask: Tensor) -> Tensor:
    """1 - Dice."""
    chance = scores.sigmoid()
    dice = (2 * (chance * mask).sum() + 1) / (chance.sum() + mask.sum() + 1)
    return 1 - dice


def temporal(
    channels: int = 16,
    layers: int = 3,
    outputs: int = 4,
    act: Callable[[], nn.Module] = nn.LeakyReLU,
    norm: bool = False,
    inputs: int = 1,
) -> nn.Module:
    """Dilated convolutions over time, then the mean over time."""
    parts: list[nn.Module] = []
    width = inputs
    for i in range(layers):
        parts.append(nn.Conv1d(width, channels, 3, padding=2 ** (i % 4), dilation=2 ** (i % 4)))
        parts += [nn.GroupNorm(4, channels)] if norm else []
        parts.append(act())
        width = channels
    pool = nn.Sequential(nn.AdaptiveAvgPool1d(4), nn.Flatten())
    return nn.Sequential(*parts, pool, nn.Linear(4 * channels, outputs))


class Encoder(nn.Module):
    """A transformer's encoder that classifies letters [N, T]."""

    def __init__(
        self,
        letters: int = 6,
        width: int = 32,
        depth: int = 2,
        outputs: int = 3,
        first: bool = True,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=first, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, outputs)

    def forward(self, letters: Tensor, hidden: Tensor | None = None) -> Tensor:
        x = self.layers(self.embed(letters), src_key_padding_mask=hidden)
        out: Tensor = self.head(x.mean(dim=1))
        return out


class Flow(nn.Module):
    """A normalising flow of affine couplings in two dimensions; gives the log-likelihood."""

    def __init__(self, couplings: int = 4, bounded: bool = True) -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp(1, 24, 24, 2, act=nn.Tanh) for _ in range(couplings))
        self.bounded = bounded

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(len(x))
        for net in self.nets:
            a, b = x[:, :1], x[:, 1:]
            scale, shift = net(a).chunk(2, dim=1)
            scale = 3 * torch.tanh(scale / 3) if self.bounded else scale
            x = torch.cat([b * scale.exp() + shift, a], dim=1)
            total = total + scale[:, 0]
        out: Tensor = total - 0.5 * x.square().sum(dim=1) - float(np.log(2 * np.pi))
        return out


class Experts(nn.Module):
    """A mixture: each example goes to its best two of the experts."""

    def __init__(self, experts: int = 4, inputs: int = 16, best: int = 2) -> None:
        super().__init__()
        self.router = nn.Linear(inputs, experts)
        self.experts = nn.ModuleList(mlp(inputs, 24, 1, act=nn.GELU) for _ in range(experts))
        self.best = best

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        chance = self.router(x).softmax(dim=1)
        top = chance.topk(self.best, dim=1)
        gate = torch.zeros_like(chance).scatter(1, top.indices, top.values)
        if self.best > 1:
            gate = gate / gate.sum(dim=1, keepdim=True)
        out = torch.cat([expert(x) for expert in self.experts], dim=1)
        used = (gate > 0).float().mean(dim=0)
        balance = len(self.experts) * (used * chance.mean(dim=0)).sum() / self.best
        return (gate * out).sum(dim=1, keepdim=True), balance


class Sparse(nn.Module):
    """A sparse autoencoder: many latents, few of them on."""

    def __init__(self, inputs: int = 24, latents: int = 64) -> None:
        super().__init__()
        self.encode = nn.Linear(inputs, latents)
        self.act = nn.ReLU()
        self.decode = nn.Linear(latents, inputs)
        with torch.no_grad():
            self.decode.weight.copy_(F.normalize(torch.randn(inputs, latents), dim=0))
            self.encode.weight.copy_(self.decode.weight.T)
            self.encode.bias.zero_()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        latent = self.act(self.encode(x))
        return self.decode(latent), latent


def mixtures(seed: int, samples: int = 4096, inputs: int = 24, causes: int = 48) -> Tensor:
    """Sums [N, inputs] of a few of many directions."""
    rng = np.random.default_rng([seed, 28])
    directions = rng.normal(size=(causes, inputs)) / np.sqrt(inputs)
    strength = rng.uniform(1, 2, (samples, causes)) * (rng.random((samples, causes)) < 0.06)
    return tensor(strength @ directions * 2)


class Quantised(nn.Module):
    """VQ-VAE: four slots, each replaced by the nearest of 32 codes."""

    def __init__(self, straight: bool = True) -> None:
        super().__init__()
        self.encode = mlp(64, 48, 16, act=nn.ELU)
        self.codes = nn.Parameter(torch.randn(32, 4) * 0.3)
        self.decode = mlp(16, 48, 64, act=nn.ELU)
        self.straight = straight

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.encode(x).reshape(-1, 4)
        code = self.codes[torch.cdist(z, self.codes).argmin(dim=1)]
        to_code = (code - z.detach()).square().mean()
        to_latent = (z - code.detach()).square().mean()
        out = z + (code - z).detach() if self.straight else code
        return self.decode(out.reshape(-1, 16)), to_code, to_latent


class Factors(nn.Module):
    """Matrix factorisation with biases."""

    def __init__(self, users: int = 200, items: int = 150, rank: int = 4) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(users, rank), nn.Embedding(items, rank)
        self.bias = nn.Embedding(items, 1)
        self.mean = nn.Parameter(torch.zeros(()))
        for table in (self.user, self.item, self.bias):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, pairs: Tensor) -> Tensor:
        user, item = self.user(pairs[:, 0]), self.item(pairs[:, 1])
        out: Tensor = (user * item).sum(dim=1) + self.bias(pairs[:, 1])[:, 0] + self.mean
        return out


class Graph(nn.Module):
    """Two rounds of messages over a dense adjacency."""

    def __init__(
        self, adjacency: Tensor, inputs: int = 16, width: int = 24, outputs: int = 4
    ) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        messages = self.get_buffer("adjacency")
        out: Tensor = messages @ self.second(self.drop(F.relu(messages @ self.first(x))))
        return out


def network_of_friends(seed: int, nodes: int = 240) -> tuple[Tensor, Tensor, Tensor]:
    """Four groups: adjacency [N, N], row by row a mean; features [N, 16]; group [N]."""
    rng = np.random.default_rng([seed, 29])
    group = rng.integers(0, 4, nodes)
    near = rng.random((nodes, nodes)) < np.where(group[:, None] == group, 0.08, 0.015)
    near = near | near.T | np.eye(nodes, dtype=bool)
    features = rng.normal(size=(4, 16))[group] * 0.4 + rng.normal(size=(nodes, 16))
    return tensor(near / near.sum(axis=1, keepdims=True)), tensor(features), torch.from_numpy(group)


class Rms(nn.Module):
    """Divides by the root of the mean square."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6) * self.weight
        return out


def residual_mlp(
    blocks: int = 4, width: int = 48, inputs: int = 64, outputs: int = 10, norm: bool = True
) -> nn.Module:
    """Blocks x + f(norm(x)) with SiLU."""
    parts: list[nn.Module] = [nn.Linear(inputs, width)]
    for _ in range(blocks):
        inner: list[nn.Module] = [Rms(width)] if norm else []
        inner += [nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)]
        parts.append(Residual(nn.Sequential(*inner)))
    return nn.Sequential(*parts, *([Rms(width)] if norm else []), nn.Linear(width, outputs))


def plain(*sizes: int, act: Callable[[], nn.Module]) -> nn.Module:
    """Linear layers with an activation after each, the last one, too."""
    parts: list[nn.Module] = []
    for a, b in pairwise(sizes):
        parts += [nn.Linear(a, b), act()]
    return nn.Sequential(*parts)
