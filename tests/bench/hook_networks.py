"""The networks on which the hook is timed: each with a batch of inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mlp() -> tuple[nn.Module, Tensor]:
    wide = [m for _ in range(4) for m in (nn.Linear(512, 512), nn.ReLU())]
    return nn.Sequential(*wide, nn.Linear(512, 10)), torch.randn(256, 512)


def cnn() -> tuple[nn.Module, Tensor]:
    def block(inside: int, outside: int) -> list[nn.Module]:
        return [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]

    layers = [*block(3, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), *block(64, 64)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*layers, *head), torch.randn(16, 3, 32, 32)


class Block(nn.Module):
    """Causal self-attention and a multilayer perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.before_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        found = self.queries_keys_values(self.before_attention(x))
        q, k, v = found.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).reshape(batch, length, width))
        out: Tensor = x + self.mlp(self.before_mlp(x))
        return out


def gpt() -> tuple[nn.Module, Tensor]:
    """Four blocks, and eight texts of 128 tokens."""
    width, vocabulary = 256, 1000
    blocks = [Block(width, 4) for _ in range(4)]
    embedding = nn.Embedding(vocabulary, width)
    model = nn.Sequential(embedding, *blocks, nn.LayerNorm(width), nn.Linear(width, vocabulary))
    return model, torch.randint(0, vocabulary, (8, 128))


NETWORKS = {"mlp": mlp, "cnn": cnn, "gpt": gpt}
