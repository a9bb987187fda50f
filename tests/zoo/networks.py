"""Small networks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

Maker = Callable[[], nn.Module]


def mlp(*sizes: int, act: Maker = nn.ReLU, norm: bool = False, dropout: float = 0.0) -> nn.Module:
    """Linear layers of these sizes, with activations between them."""
    parts: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        parts.append(nn.Linear(a, b))
        if i < len(sizes) - 2:
            parts += [nn.BatchNorm1d(b)] if norm else []
            parts.append(act())
            parts += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*parts)


def deep(
    depth: int, width: int = 32, inputs: int = 64, outputs: int = 10, **kw: object
) -> nn.Module:
    """An MLP of ``depth`` hidden layers."""
    return mlp(inputs, *[width] * depth, outputs, **kw)  # type: ignore[arg-type]


def conv(channels: int = 8, outputs: int = 10, norm: bool = False, layers: int = 2) -> nn.Module:
    """For images of 8 x 8, given flat."""
    parts: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    width = 1
    for _ in range(layers):
        parts.append(nn.Conv2d(width, channels, 3, padding=1))
        parts += [nn.BatchNorm2d(channels)] if norm else []
        parts.append(nn.ReLU())
        width = channels
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(64 * channels, outputs))


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


def resnet(channels: int = 8, blocks: int = 3, outputs: int = 10) -> nn.Module:
    """Convolutions with batch norm and shortcuts, for images of 8 x 8, given flat."""

    def block() -> nn.Module:
        return nn.Sequential(
            Residual(
                nn.Sequential(
                    nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                    nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                )
            ),
            nn.ReLU(),
        )

    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        *[block() for _ in range(blocks)],
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * channels, outputs),
    )


class Transformer(nn.Module):
    """A causal language model."""

    def __init__(
        self, letters: int = 12, width: int = 32, depth: int = 2, first: bool = True
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        self.place = nn.Parameter(0.02 * torch.randn(64, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=first
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, letters)

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.layers(self.embed(tokens) + self.place[:length], mask=mask)
        out: Tensor = self.head(self.norm(x))
        return out


class Recurrent(nn.Module):
    """Reads [N, T, inputs] and answers at the end."""

    def __init__(
        self, kind: str = "LSTM", inputs: int = 4, width: int = 24, outputs: int = 2
    ) -> None:
        super().__init__()
        self.cells = getattr(nn, kind)(inputs, width, batch_first=True)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.cells(x)[0][:, -1])
        return out


class Vae(nn.Module):
    """A variational autoencoder; gives (reconstruction, mean, log variance)."""

    def __init__(self, inputs: int = 64, latent: int = 6) -> None:
        super().__init__()
        self.encode = mlp(inputs, 48, 2 * latent)
        self.decode = mlp(latent, 48, inputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = self.encode(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        return self.decode(z), mean, logvar


class LowRank(nn.Module):
    """LoRA: a frozen layer and a small correction that begins at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x) + self.up(self.down(x))
        return out


def weights(model: nn.Module, fill: Callable[[Tensor], object]) -> nn.Module:
    """The same model, each matrix filled anew."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                fill(parameter)
    return model
