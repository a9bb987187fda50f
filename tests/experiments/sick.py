"""Small real networks in which a check must find something.

Every function returns (model, loss_fn, batch) for a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
    stack,
    tokens,
)


def article() -> Case:
    """Batch norms hide the initialisation."""
    return convolutions(norms=True, scaled=False)


def article_deeper() -> Case:
    """Deep enough to be NaN or infinite at once without the norms, as the article's was."""
    return convolutions(norms=True, scaled=False, depth=24)


def article_without_norms() -> Case:
    return convolutions(norms=False, scaled=False)


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
