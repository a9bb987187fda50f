"""Small real networks that look like sick ones, and must pass.

Every function returns (model, loss_fn, batch) for a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.experiments.networks import (
    ROWS,
    Case,
    TokensOverBatch,
    classes,
    convolutions,
    mlp,
    pictures,
    stack,
    tokens,
)


def plain_mlp() -> Case:
    return mlp(), nn.CrossEntropyLoss(), classes()


def plain_cnn() -> Case:
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(96, 3),
    )  # fmt: skip
    return model, nn.CrossEntropyLoss(), pictures()


class Block(nn.Module):
    """GPT-2's: norms first, causal attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.body = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        y = self.first(x)
        x = x + self.attention(y, y, y, attn_mask=later, need_weights=False)[0]
        out: Tensor = x + self.body(self.second(x))
        return out


class Gpt(nn.Module):
    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(17, width), nn.Embedding(8, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 17, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, idx: Tensor) -> Tensor:
        x = self.tokens(idx) + self.positions(torch.arange(idx.shape[1], device=idx.device))
        out: Tensor = self.head(self.norm(self.blocks(x)))
        return out


def gpt() -> Case:
    """Its batch is a mapping, its loss flattens."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(logits.flatten(0, 1), target.flatten())

    idx = torch.randint(0, 17, (6, 9))
    return Gpt(), loss, {"idx": idx[:, :-1], "labels": idx[:, 1:]}


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(5, 24, num_layers=2, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x)[0][:, -1])
        return out


def lstm() -> Case:
    return Lstm(), nn.CrossEntropyLoss(), (torch.randn(ROWS, 7, 5), torch.arange(ROWS) % 3)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


def resnet() -> Case:
    blocks = [Residual(12) for _ in range(6)]
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True),
        *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model, nn.CrossEntropyLoss(), pictures()


class Transformer(nn.Module):
    """A language model whose embedding is its output layer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(17, 16)
        self.positions = nn.Parameter(torch.randn(6, 16) * 0.02)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 17, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.3)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.tokens(tokens) + self.positions))
        return out.transpose(1, 2)


def transformer() -> Case:
    x = torch.randint(0, 17, (ROWS, 6))
    return Transformer(), nn.CrossEntropyLoss(), (x, x.roll(1, 1))


def token_attention() -> Case:
    return TokensOverBatch(batch_first=True), nn.CrossEntropyLoss(), tokens()


def noisy_regression() -> Case:
    """A linear model of 5 parameters cannot pass through 40 noisy points, and need not."""
    x = torch.randn(40, 4)
    return nn.Linear(4, 1), nn.MSELoss(), (x, x.sum(1, keepdim=True) + torch.randn(40, 1))


def dropout() -> Case:
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
    return model, nn.CrossEntropyLoss(label_smoothing=0.1), classes()


def frozen_backbone() -> Case:
    body, head = mlp(8, 32), nn.Linear(32, 4)
    for p in body.parameters():
        p.requires_grad_(False)
    return nn.Sequential(body, nn.ReLU(), head), nn.CrossEntropyLoss(), classes()


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(8, 16)
        self.kind, self.size = nn.Linear(16, 4), nn.Linear(16, 1)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> dict[str, Tensor]:
        inside = functional.relu(self.body(x))
        return {"kind": self.kind(inside), "size": self.size(inside)}


def two_heads() -> Case:
    def loss(output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        size = functional.l1_loss(output["size"], target["size"])
        return functional.cross_entropy(output["kind"], target["kind"]) + size

    x, y = classes()
    batch = {"x": x, "scale": torch.ones(()), "target": {"kind": y, "size": torch.randn(ROWS, 1)}}
    return TwoHeads(), loss, batch


def sequence_first() -> Case:
    """[T, N, C] with one class per row."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(5, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.gru(x)[0][-1])
            return out

    return Last(), nn.CrossEntropyLoss(), (torch.randn(7, ROWS, 5), torch.arange(ROWS) % 3)


def contrastive() -> Case:
    """Rows meet in the loss, which is called with model and batch, not in the model."""

    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        a = functional.normalize(model(batch), dim=1)
        b = functional.normalize(model(batch + 0.01 * torch.randn_like(batch)), dim=1)
        return functional.cross_entropy(a @ b.T / 0.1, torch.arange(len(batch)))

    return mlp(8, 16), loss, torch.randn(ROWS, 8)


def autoencoder() -> Case:
    return mlp(8, 8, width=64), nn.MSELoss(), torch.randn(ROWS, 8)


def soft_targets() -> Case:
    x = torch.randn(ROWS, 8)
    return mlp(8, 2, width=64), nn.BCEWithLogitsLoss(), (x, torch.rand(ROWS, 2))


def zero_head() -> Case:
    model = mlp()
    nn.init.zeros_(model[2].weight)  # type: ignore[arg-type]
    nn.init.zeros_(model[2].bias)  # type: ignore[arg-type]
    return model, nn.CrossEntropyLoss(), classes()


def whitens_itself() -> Case:
    x, y = classes()
    return nn.Sequential(nn.BatchNorm1d(8), mlp()), nn.CrossEntropyLoss(), (x * 1e4 + 1e5, y)


def masks_and_images() -> Case:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp(64 + 8 + 5, 3)

        def forward(self, image: Tensor, hot: Tensor, mask: Tensor) -> Tensor:
            out: Tensor = self.body(torch.cat((image.flatten(1), hot, mask.float()), 1))
            return out

    image = torch.rand(ROWS, 1, 8, 8)
    hot = functional.one_hot(torch.arange(ROWS) % 8, 8).float()
    mask = torch.rand(ROWS, 5) < 0.5
    return Masked(), nn.CrossEntropyLoss(), (image, hot, mask, torch.arange(ROWS) % 3)


def duplicated_rows() -> Case:
    """Noisy labels: the same input with two answers."""
    x, y = classes()
    batch = torch.cat((x, x[:4])), torch.cat((y, (y[:4] + 1) % 4))
    return mlp(width=64), nn.CrossEntropyLoss(), batch


def default_deep() -> Case:
    """torch's own initialisation in a deep network with norms, which it needs."""
    layers: list[nn.Module] = [nn.Linear(8, 32)]
    for _ in range(8):
        layers += [nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(32, 4)), nn.CrossEntropyLoss(), classes()


def plain_deep() -> Case:
    return stack(nn.ReLU, 5), nn.CrossEntropyLoss(), classes()


def unknown_floor() -> Case:
    """Smoothed labels inside a loss that is called with model and batch."""

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.1)

    return mlp(), loss, classes()


def likelihood() -> Case:
    """A loss that is none of the known ones and falls below zero."""

    def loss(output: Tensor, target: Tensor) -> Tensor:
        mean, log = output.chunk(2, 1)
        return (0.5 * ((target - mean) / log.exp()).square() + log).mean()

    return mlp(8, 2), loss, (torch.randn(ROWS, 8), torch.randn(ROWS, 1))


def article_repaired() -> Case:
    return convolutions(norms=False, scaled=True)


def article_repaired_with_norms() -> Case:
    return convolutions(norms=True, scaled=True)


HEALTHY: tuple[Callable[[], Case], ...] = (
    plain_mlp, plain_cnn, gpt, lstm,
    resnet, transformer, token_attention, noisy_regression, dropout, frozen_backbone, two_heads,
    sequence_first, contrastive, autoencoder, soft_targets, zero_head, whitens_itself,
    masks_and_images, duplicated_rows, default_deep, plain_deep, likelihood, unknown_floor,
    article_repaired, article_repaired_with_norms,
)  # fmt: skip
