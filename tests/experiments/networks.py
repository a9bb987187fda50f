"""Small real networks: what each check must find, and look-alikes that must pass.

Every function returns (model, loss_fn, batch) for a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

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


# What must be found


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


def article() -> Case:
    """Batch norms hide the initialisation."""
    return convolutions(norms=True, scaled=False)


def article_deeper() -> Case:
    """Deep enough to be NaN or infinite at once without the norms, as the article's was."""
    return convolutions(norms=True, scaled=False, depth=24)


def article_without_norms() -> Case:
    return convolutions(norms=False, scaled=False)


def article_repaired() -> Case:
    return convolutions(norms=False, scaled=True)


def article_repaired_with_norms() -> Case:
    return convolutions(norms=True, scaled=True)


class MixesRows(nn.Module):
    """[N, T, C] -> [T, N, C] by reshape instead of transpose, then a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows, steps, channels = x.shape
        states, _ = self.lstm(x.reshape(steps, rows, channels))
        out: Tensor = self.head(states.reshape(rows, steps, -1).mean(1))
        return out


def mixed_batch_axis() -> Case:
    return MixesRows(), nn.CrossEntropyLoss(), (torch.randn(ROWS, 7, 5), torch.arange(ROWS) % 3)


class MixesOutputs(nn.Module):
    """[N, C, L] -> [C * L, N] by reshape on the way out, as if it had been transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv1d(3, 8, 3, padding=1)
        self.head = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = functional.relu(self.body(x))
        out: Tensor = self.head(features.reshape(48, -1).T)
        return out


def mixed_outputs() -> Case:
    return MixesOutputs(), nn.CrossEntropyLoss(), (torch.randn(ROWS, 3, 6), torch.arange(ROWS) % 3)


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


def mixed_tokens() -> Case:
    return TokensOverBatch(batch_first=False), nn.CrossEntropyLoss(), tokens()


def deep_sigmoid() -> Case:
    return stack(nn.Sigmoid, 9), nn.CrossEntropyLoss(), classes()


def large_weights() -> Case:
    model = stack(nn.ReLU, 7)
    for p in model.parameters():
        if p.ndim > 1:
            nn.init.normal_(p)
    return model, nn.CrossEntropyLoss(), classes()


def small_weights() -> Case:
    model = stack(nn.ReLU, 9)
    for p in model.parameters():
        nn.init.normal_(p, std=0.01) if p.ndim > 1 else nn.init.zeros_(p)
    return model, nn.CrossEntropyLoss(), classes()


def relu_at_the_end() -> Case:
    model = nn.Sequential(mlp(8, 2), nn.ReLU())
    return model, nn.MSELoss(), (torch.randn(ROWS, 8), torch.randn(ROWS, 2))


def huge_inputs() -> Case:
    return mlp(8, 1), nn.MSELoss(), (torch.rand(ROWS, 8) * 1.4e8, torch.randn(ROWS, 1))


def heavy_tail() -> Case:
    x = torch.randn(ROWS, 256).mul(4).exp()
    x[0, 0] = 1.4e8
    return mlp(256), nn.CrossEntropyLoss(), (x, torch.arange(ROWS) % 4)


def bytes_as_inputs() -> Case:
    x = torch.randint(0, 256, (ROWS, 3, 8, 8)).float()
    model = nn.Sequential(nn.Flatten(), mlp(192, 3))
    return model, nn.CrossEntropyLoss(), (x, torch.arange(ROWS) % 3)


def uneven_columns() -> Case:
    x, y = classes()
    return mlp(), nn.CrossEntropyLoss(), (x * torch.logspace(-4, 0, 8), y)


def missing_values() -> Case:
    x, y = classes()
    x[3, 2] = math.nan
    return mlp(), nn.CrossEntropyLoss(), (x, y)


def detached_loss() -> Case:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.detach(), target)

    return mlp(), loss, classes()


def loss_as_number() -> Case:
    return mlp(), lambda o, t: functional.cross_entropy(o, t).item(), classes()


def unreduced_loss() -> Case:
    return mlp(), nn.CrossEntropyLoss(reduction="none"), classes()


def broadcasting() -> Case:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean()

    return mlp(8, 1), loss, (torch.randn(ROWS, 8), torch.randn(ROWS))


def softmax_twice() -> Case:
    return nn.Sequential(mlp(), nn.Softmax(1)), nn.CrossEntropyLoss(), classes()


def softmax_missing() -> Case:
    return mlp(), nn.NLLLoss(), classes()


def wrong_sign() -> Case:
    return mlp(), lambda output, target: -functional.cross_entropy(output, target), classes()


def sigmoid_twice() -> Case:
    x = torch.randn(ROWS, 8)
    model = nn.Sequential(mlp(8, 2), nn.Sigmoid())
    return model, nn.BCEWithLogitsLoss(), (x, torch.rand(ROWS, 2).round())


def broadcasting_module() -> Case:
    return mlp(8, 1), nn.L1Loss(), (torch.randn(ROWS, 8), torch.randn(ROWS))


def half_dead() -> Case:
    """One of three hidden layers is dead, biases keep the output alive."""
    model = stack(nn.ReLU, 2)
    nn.init.constant_(model[2].bias, -100.0)  # type: ignore[arg-type]
    return model, nn.CrossEntropyLoss(), classes()


def constant_input() -> Case:
    """Uses a tensor of ones for its input: all weights have gradients, and nothing is learnt."""
    model, loss_fn, batch = blind()
    model.make = torch.ones_like  # type: ignore[assignment]
    return model, loss_fn, batch


def oversure() -> Case:
    model = mlp()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(10)
    return model, nn.CrossEntropyLoss(), classes()


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.forgotten = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


def unused_layer() -> Case:
    return Unused(), nn.CrossEntropyLoss(), classes()


def dead_units() -> Case:
    model = mlp()
    nn.init.constant_(model[0].bias, -100.0)  # type: ignore[arg-type]
    return model, nn.CrossEntropyLoss(), classes()


class Blind(nn.Module):
    """Makes a new tensor of the right shape instead of using its input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.make = torch.zeros_like

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(self.make(x))
        return out


def blind() -> Case:
    return Blind(), nn.CrossEntropyLoss(), classes()


# Look-alikes, which must pass


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


HEALTHY: tuple[Callable[[], Case], ...] = (
    plain_mlp, plain_cnn, gpt, lstm,
    resnet, transformer, token_attention, noisy_regression, dropout, frozen_backbone, two_heads,
    sequence_first, contrastive, autoencoder, soft_targets, zero_head, whitens_itself,
    masks_and_images, duplicated_rows, default_deep, plain_deep, likelihood, unknown_floor,
    article_repaired, article_repaired_with_norms,
)  # fmt: skip

SICK: tuple[tuple[Callable[[], Case], str, str], ...] = (
    (article, "without_norms", ""),
    (article_deeper, "without_norms", ""),
    (mixed_outputs, "batch_axis", ""),
    (softmax_missing, "first_pass", ""),
    (sigmoid_twice, "first_pass", "overfit"),
    (wrong_sign, "first_pass", ""),
    (broadcasting_module, "first_pass", "overfit"),
    (half_dead, "gradients", "overfit"),
    (constant_input, "batch_axis overfit", ""),
    (article_without_norms, "signal_scale", ""),
    (mixed_batch_axis, "batch_axis", ""),
    (mixed_tokens, "batch_axis", ""),
    (deep_sigmoid, "signal_scale overfit", ""),
    (large_weights, "signal_scale first_pass", ""),
    (small_weights, "signal_scale", "overfit"),
    (relu_at_the_end, "overfit", ""),
    (huge_inputs, "inputs", "overfit"),
    (heavy_tail, "inputs first_pass", ""),
    (bytes_as_inputs, "inputs first_pass", ""),
    (uneven_columns, "inputs", ""),
    (missing_values, "inputs first_pass", ""),
    (detached_loss, "first_pass", ""),
    (loss_as_number, "first_pass", ""),
    (unreduced_loss, "first_pass", ""),
    (broadcasting, "first_pass", "overfit"),
    (softmax_twice, "first_pass", "overfit"),
    (oversure, "first_pass", ""),
    (unused_layer, "gradients", ""),
    (dead_units, "gradients", "overfit"),
    (blind, "gradients overfit", ""),
)
"""(case, checks that must fail, checks that may fail as well)."""
