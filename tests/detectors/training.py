"""Small real trainings: what losses and gradients of healthy and sick runs look like.

Everything is seeded, on one thread, on data made with numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from monitor.points import Floats, Layers
from tests.detectors.recipes import Log, Recipe


def rate(schedule: str, t: float) -> float:
    """The learning rate's factor at part ``t`` of the run."""
    cosine = 0.5 * (1 + math.cos(math.pi * t))
    match schedule:
        case "cosine":
            return cosine
        case "warmup":
            return min(1.0, t / 0.1 + 0.01)
        case "warmup_cosine":
            return min(1.0, t / 0.05 + 0.01) * cosine
        case "step":
            return 1.0 if t < 0.4 else 0.1 if t < 0.7 else 0.01
        case "cyclic":
            return 0.1 + 0.9 * abs(((t * 5) % 1) * 2 - 1)
        case "one_cycle":
            return t / 0.3 + 0.04 if t < 0.3 else 0.5 * (1 + math.cos(math.pi * (t - 0.3) / 0.7))
        case "tail":
            return 1.0 if t < 0.85 else 0.1
        case _:
            return 1.0


@lru_cache(maxsize=32)
def _data(task: str, seed: int, samples: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    if task == "memory":  # tell the first symbol of a sequence
        x = rng.normal(size=(samples, 30, 4))
        return _tensor(x), torch.from_numpy((x[:, 0, 0] > 0).astype(np.int64))
    x = rng.normal(size=(samples, 64))
    hidden = np.tanh(x @ rng.normal(size=(64, 16)) / 6)
    if task == "regression":
        y = hidden @ rng.normal(size=(16, 1)) + 0.1 * rng.normal(size=(samples, 1))
        return _tensor(x), _tensor(y)
    scores = hidden @ rng.normal(size=(16, 10))
    classes = scores.argmax(axis=1)
    if task == "hard_classes":  # a third of the labels is noise: a floor well above zero
        wrong = rng.random(samples) < 0.35
        classes = np.where(wrong, rng.integers(0, 10, samples), classes)
    return _tensor(x), torch.from_numpy(classes)


def _tensor(x: Floats) -> Tensor:
    return torch.from_numpy(x.astype(np.float32))


ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.act = nn.ReLU()
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.down(self.act(self.up(self.norm(x))))
        return result


class _Attention(nn.Module):
    """A transformer over 8 tokens of 8 numbers."""

    def __init__(self, width: int, depth: int, out: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.layers(self.embed(x.view(-1, 8, 8))).mean(dim=1))
        return result


class _Recurrent(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(4, width, batch_first=True)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.rnn(x)[0][:, -1])
        return result


def build(recipe: Recipe) -> nn.Module:
    """The network of a recipe."""
    torch.manual_seed(recipe.seed)
    w, out = recipe.width, 1 if recipe.task == "regression" else 10
    act = ACTIVATIONS[recipe.activation]
    model: nn.Module
    if recipe.model == "rnn":
        model = _Recurrent(w)
    elif recipe.model == "gpt":
        model = _Attention(w, recipe.depth, out)
    elif recipe.model == "resnet":
        model = nn.Sequential(
            nn.Linear(64, w),
            *[_Block(w) for _ in range(recipe.depth)],
            nn.LayerNorm(w),
            nn.Linear(w, out),
        )
    elif recipe.model == "conv":
        parts: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), act()]
        for _ in range(recipe.depth - 1):
            parts += [nn.Conv2d(8, 8, 3, padding=1), act()]
        model = nn.Sequential(*parts, nn.Flatten(), nn.Linear(8 * 64, out))
    else:
        parts = [nn.Linear(64, w), act()]
        for _ in range(recipe.depth - 1):
            parts += [nn.Linear(w, w), act()]
        model = nn.Sequential(*parts, nn.Linear(w, out))
    for name, p in model.named_parameters():
        if recipe.xavier and p.ndim >= 2:
            nn.init.xavier_uniform_(p)
        if recipe.gain and p.ndim >= 2 and (recipe.model != "rnn" or "weight_hh" in name):
            with torch.no_grad():
                p.normal_(0, recipe.gain / math.sqrt(p.shape[-1]))
    return model


def layers_of(model: nn.Module) -> Layers:
    """As the hook would describe the parameters: names, kinds, shapes, what comes next."""
    names, kinds, shapes, followed = [], [], [], []
    modules = dict(model.named_modules())
    order = list(modules)
    for name, p in model.named_parameters():
        owner = name.rpartition(".")[0]
        names.append(name)
        kinds.append(type(modules[owner]).__name__)
        shapes.append(tuple(p.shape))
        after = order[order.index(owner) + 1] if order.index(owner) + 1 < len(order) else ""
        kind = type(modules[after]).__name__ if after else ""
        followed.append(f"{after}:{kind}" if kind in {"Sigmoid", "Tanh", "ReLU"} else "")
    return Layers(tuple(names), tuple(kinds), tuple(shapes), tuple(followed))


def _batches(recipe: Recipe, n: int) -> Iterator[Tensor]:
    rng = np.random.default_rng(recipe.seed + 1)
    while True:
        order = rng.permutation(n)
        for a in range(0, n - recipe.batch + 1, recipe.batch):
            yield torch.from_numpy(order[a : a + recipe.batch])


@lru_cache(maxsize=256)
def train(recipe: Recipe) -> Log:
    """Trains; stops early when the loss is no longer finite (five more points are kept)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(recipe)
    finally:
        torch.set_num_threads(threads)


def _train(recipe: Recipe) -> Log:
    x, y = _data(recipe.task, recipe.seed, recipe.samples)
    model = build(recipe)
    makers: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
        "adam": torch.optim.Adam,
    }
    optimizer = makers[recipe.optimizer](model.parameters(), lr=recipe.lr)
    criterion: nn.Module = (
        nn.MSELoss()
        if recipe.task == "regression"
        else nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    )
    losses, rates, norms, grads = [], [], [], []
    batches = _batches(recipe, len(x))
    broken = 0
    for step in range(recipe.steps):
        lr = recipe.lr * rate(recipe.schedule, step / recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        chosen = next(batches)
        optimizer.zero_grad()
        loss = criterion(model(x[chosen]), y[chosen])
        loss.backward()
        each = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
        if recipe.clip:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        losses.append(loss.item())
        rates.append(lr)
        norms.append(each.norm().item())
        grads.append(each.double().numpy())
        broken += not math.isfinite(losses[-1])
        if broken > 5:
            break
    return Log(
        np.array(losses), np.array(rates), np.array(norms), np.array(grads), layers_of(model)
    )
