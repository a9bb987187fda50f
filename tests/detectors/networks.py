"""Small networks, healthy and sick, for trainings with the real hook; seeded, on one thread."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody calls it so

Model = Callable[[], nn.Module]
Data = Callable[[torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Setup:
    """A training; ``model`` is made after a seed is set, ``data`` with a generator of its own."""

    model: Model
    data: Data
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    lr: float = 1e-3
    sgd: bool = False
    batch: int = 64


# --- data: 1,024 samples ------------------------------------------------------------------

SAMPLES = 1024


def vectors(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """64 whitened numbers; ten classes that a small network can tell."""
    x = torch.randn(SAMPLES, 64, generator=g)
    hidden = torch.tanh(x @ torch.randn(64, 16, generator=g) / 6)
    return x, (hidden @ torch.randn(16, 10, generator=g)).argmax(1)


def scaled(factor: float, offset: float = 0.0, data: Data = vectors) -> Data:
    """The same in other units."""

    def make(g: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = data(g)
        return x * factor + offset, y

    return make


def images(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """16 x 16 grey pictures in [0, 1], dark with one of ten bright patterns and noise."""
    patterns = F.interpolate(torch.rand(10, 1, 4, 4, generator=g), size=16, mode="bilinear")
    y = torch.randint(0, 10, (SAMPLES,), generator=g)
    x = patterns[y] + 0.25 * torch.randn(SAMPLES, 1, 16, 16, generator=g)
    return (x - 0.2).clamp(0, 1), y


def white_images(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """The pictures, whitened."""
    x, y = images(g)
    return (x - x.mean()) / x.std(), y


def pictures(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """The whitened pictures as their own targets, flat."""
    x = white_images(g)[0].flatten(1)
    return x, x


def tokens(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """32 symbols of 31; the next one follows from the last two, mostly."""
    rows = [torch.randint(0, 31, (SAMPLES, 2), generator=g)]
    for _ in range(31):
        last, before = rows[-1][:, -1:], rows[-1][:, -2:-1] if len(rows) == 1 else rows[-2]
        noise = torch.randint(0, 31, (SAMPLES, 1), generator=g)
        odd = torch.rand(SAMPLES, 1, generator=g) < 0.1
        rows.append(torch.where(odd, noise, (3 * last + before) % 31))
    x = torch.cat(rows, 1)
    return x[:, :-1], x[:, 1:]


def one_hot(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """One of 500 in each of two columns."""
    i = torch.randint(0, 500, (SAMPLES, 2), generator=g)
    return F.one_hot(i, 500).flatten(1).float(), i.sum(1) % 10


def binary(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """40 numbers that are 0 or 1, mostly 0."""
    x = (torch.rand(SAMPLES, 40, generator=g) < 0.1).float()
    return x, (x @ torch.randn(40, 10, generator=g)).argmax(1)


def sequences(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """30 steps of 4 numbers; the sign of the first one's sum."""
    x = torch.randn(SAMPLES, 30, 4, generator=g)
    return x, (x[:, :5, 0].sum(1) > 0).long()


# --- networks -----------------------------------------------------------------------------


def mlp(
    act: type[nn.Module] = nn.ReLU,
    depth: int = 4,
    width: int = 64,
    out: int = 10,
    inputs: int = 64,
    norm: bool = False,
    dropout: float = 0.0,
    last: nn.Module | None = None,
) -> nn.Sequential:
    parts: list[nn.Module] = []
    for i in range(depth):
        parts.append(nn.Linear(inputs if i == 0 else width, width))
        parts += [nn.BatchNorm1d(width)] if norm else []
        parts.append(act())
        parts += [nn.Dropout(dropout)] if dropout else []
    parts.append(nn.Linear(width, out))
    return nn.Sequential(*parts, *([last] if last else []))


def cnn(
    norm: bool = True, depth: int = 5, channels: int = 16, act: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    parts: list[nn.Module] = []
    for i in range(depth):
        parts.append(nn.Conv2d(1 if i == 0 else channels, channels, 3, padding=1, bias=not norm))
        parts += [nn.BatchNorm2d(channels)] if norm else []
        parts.append(act())
        parts += [nn.MaxPool2d(2)] if i in {1, 3} else []
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class _Residual(nn.Module):
    def __init__(self, channels: int, zero: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        if zero:
            nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu(out + x)
        return result


def resnet(blocks: int = 4, zero: bool = False, channels: int = 16) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        *[_Residual(channels, zero) for _ in range(blocks)],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10),
    )  # fmt: skip


class _GptBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act, self.softmax, self.heads = nn.GELU(), nn.Softmax(dim=-1), heads

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = (
            part.view(n, t, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.ln1(x)).chunk(3, dim=-1)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -math.inf)
        x = x + self.proj((self.softmax(scores) @ v).transpose(1, 2).reshape(n, t, c))
        result: Tensor = x + self.down(self.act(self.up(self.ln2(x))))
        return result


class Gpt(nn.Module):
    """Pre-norm, with GPT-2's initialisation if ``small``."""

    def __init__(self, depth: int = 4, width: int = 32, small: bool = True) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(31, width), nn.Embedding(64, width)
        self.blocks = nn.Sequential(*[_GptBlock(width, 4) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 31, bias=False)
        for name, p in self.named_parameters():
            if small and p.ndim == 2:
                residual = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * depth) if residual else 0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        result: Tensor = self.head(self.norm(self.blocks(x)))
        return result


class PostNorm(nn.Module):
    """The encoder of the first transformer."""

    def __init__(self, depth: int = 3, width: int = 32, pre: bool = False) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=pre
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.layers(self.embed(x.view(-1, 8, 8))).mean(1))
        return result


class Lstm(nn.Module):
    """Two layers of torch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 32, 2, batch_first=True), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.rnn(x)[0][:, -1])
        return result


class HandLstm(nn.Module):
    """A cell of modules, so that the hook sees its gates; ``bias`` opens or shuts them."""

    def __init__(self, width: int = 32, bias: float = 1.0) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(4, 4 * width), nn.Linear(width, 4 * width)
        self.into, self.forget, self.out = nn.Sigmoid(), nn.Sigmoid(), nn.Sigmoid()
        self.cell, self.squash = nn.Tanh(), nn.Tanh()
        self.head, self.width = nn.Linear(width, 2), width
        with torch.no_grad():
            self.x.bias[width : 2 * width] = bias

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(len(x), self.width)
        for t in range(x.shape[1]):
            i, f, g, o = (self.x(x[:, t]) + self.h(h)).chunk(4, 1)
            c = self.forget(f) * c + self.into(i) * self.cell(g)
            h = self.out(o) * self.squash(c)
        result: Tensor = self.head(h)
        return result


class Squeeze(nn.Module):
    """Convolutions whose channels are gated by a hard sigmoid that is open almost everywhere."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.stem, self.norm, self.act = (
            nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
        )  # fmt: skip
        self.pool, self.down, self.inner = (
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 8, 1),
            nn.ReLU(),
        )
        self.up, self.gate = nn.Conv2d(8, channels, 1), nn.Hardsigmoid()
        self.conv, self.act2 = nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(channels, 10)
        biased(nn.Sequential(self.up), 4.0, (0,))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = x * self.gate(self.up(self.inner(self.down(self.pool(x)))))
        result: Tensor = self.head(self.act2(self.conv(x)).mean((2, 3)))
        return result


def autoencoder(act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    widths = [256, 128, 32, 8, 32, 128]
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        parts += [nn.Linear(a, b), act()]
    return nn.Sequential(*parts, nn.Linear(128, 256))


def dcgan_discriminator() -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(16, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 64, 2, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    return normal(0.02)(model)


def dcgan_generator() -> nn.Sequential:
    """From 100 random numbers to a picture."""
    model = nn.Sequential(
        nn.Unflatten(1, (100, 1, 1)),
        nn.ConvTranspose2d(100, 64, 4, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding=1), nn.Tanh(), nn.Flatten(),
    )  # fmt: skip
    return normal(0.02)(model)


class Pair(nn.Module):
    """A generator and the discriminator that looks at its pictures, as one network."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = dcgan_generator(), dcgan_discriminator()

    def forward(self, x: Tensor) -> Tensor:
        pictures = self.generator(x).view(-1, 1, 16, 16)
        result: Tensor = self.discriminator(pictures)
        return result


class Sparse(nn.Module):
    """A sparse autoencoder: of 1,024 units only a few speak, others for each input."""

    def __init__(self, width: int = 1024) -> None:
        super().__init__()
        self.encode, self.act, self.decode = nn.Linear(256, width), nn.ReLU(), nn.Linear(width, 256)
        nn.init.constant_(self.encode.bias, -1.2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.decode(self.act(self.encode(x)))
        return result


def noise(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """What a generator starts from, and what it is to learn here: dark pictures in [-1, 1]."""
    x, _ = images(g)
    return torch.randn(SAMPLES, 100, generator=g), torch.where(x > 0.6, 1.0, -1.0).flatten(1)


# --- initialisations ----------------------------------------------------------------------

WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def normal(std: float, bias: bool = False) -> Callable[[nn.Sequential], nn.Sequential]:
    """Weights from a normal distribution; biases 0 where ``bias``, else as they were."""

    def init(model: nn.Sequential) -> nn.Sequential:
        for m in model.modules():
            if isinstance(m, WEIGHTED):
                nn.init.normal_(m.weight, std=std)
                if bias and m.bias is not None:
                    nn.init.zeros_(m.bias)
        return model

    return init


def he(model: nn.Sequential) -> nn.Sequential:
    """He initialisation, biases 0."""
    for m in model.modules():
        if isinstance(m, WEIGHTED):
            nn.init.kaiming_normal_(m.weight)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return model


def biased(model: nn.Sequential, value: float, at: tuple[int, ...]) -> nn.Sequential:
    """The biases of some layers set to one value."""
    with torch.no_grad():
        for i in at:
            bias = model[i].bias
            assert isinstance(bias, Tensor)
            bias.fill_(value)
    return model


def frozen(model: nn.Sequential, upto: int) -> nn.Sequential:
    """All but the last layers do not learn."""
    model[:upto].requires_grad_(False)
    return model
