"""What the small networks of the preflight's tests are made of: models, losses, batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

torch.set_num_threads(1)

Case = tuple[nn.Module, Callable[..., Any], Any]
ROWS = 12


def classes(features: int = 8, number: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(ROWS, features), torch.arange(ROWS) % number


def pictures(number: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(ROWS, 3, 8, 8), torch.arange(ROWS) % number


def mlp(inside: int = 8, outside: int = 4, width: int = 32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, width), nn.ReLU(), nn.Linear(width, outside))


def stack(activation: type[nn.Module], depth: int, width: int = 32) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(8, width), activation()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def convolutions(*, norms: bool, scaled: bool, depth: int = 12) -> Case:
    """The article's: convolutional regression, its weights from N(0, 1) or scaled by fan-in."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers.append(nn.Conv2d(16 if i else 3, 16, 3, padding=1))
        layers += [nn.BatchNorm2d(16), nn.ReLU()] if norms else [nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 1))
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if scaled:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.normal_(module.weight, std=1.0)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    x = torch.randn(ROWS, 3, 6, 6)
    return model, nn.MSELoss(), (x, x.mean((1, 2, 3))[:, None] * 10)


class TokensOverBatch(nn.Module):
    """Attention that takes axis 0 for time, on integer inputs."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(17, 16)
        self.positions = nn.Parameter(torch.randn(6, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=batch_first)
        self.head = nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions
        x = x + self.attention(x, x, x, need_weights=False)[0]
        out: Tensor = self.head(x.mean(1))
        return out


def tokens(number: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randint(0, 17, (ROWS, 6)), torch.arange(ROWS) % number
