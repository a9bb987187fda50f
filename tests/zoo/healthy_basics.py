"""Healthy: what most runs are."""

from __future__ import annotations

import torch
from torch import nn

from tests.zoo.kinds import healthy
from tests.zoo.loop import BARE, CHARTS, HUGGING_FACE, LIGHTNING, PLAIN, Plan, batches, fit
from tests.zoo.networks import conv, deep, mlp, resnet
from tests.zoo.script import Script
from tests.zoo.tasks import (
    absolute,
    cross_entropy,
    diabetes,
    digits,
    next_letter,
    right,
    squared,
    teacher,
    text,
)


@healthy()
def mlp_digits(script: Script) -> None:
    """Adam at 0.001 on handwritten digits."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=600,
        val=lambda: float(cross_entropy(model, vx, vy)),
        score=lambda: right(model, vx, vy), tags=LIGHTNING))  # fmt: skip


@healthy(hook=False)
def mlp_digits_scalars_only(script: Script) -> None:
    """The same by SGD with momentum, without the hook, and under plain names."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=800,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=PLAIN))  # fmt: skip


@healthy()
def conv_digits(script: Script) -> None:
    """A small convolutional network."""
    x, y, vx, vy = digits(seed=script.seed)
    model = conv(8)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x, y, seed=script.seed), cross_entropy, steps=500,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=CHARTS))  # fmt: skip


@healthy()
def resnet_batch_norm(script: Script) -> None:
    """Residual blocks with batch norm, SGD with momentum and weight decay."""
    x, y, vx, vy = digits(seed=script.seed)
    model = resnet()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    fit(script, Plan(model, optimizer, batches(32, x, y, seed=script.seed), cross_entropy,
        steps=400, val=lambda: float(cross_entropy(model, vx, vy))))  # fmt: skip


@healthy()
def deep_mlp(script: Script) -> None:
    """Ten ReLU layers, initialised by variance scaling."""
    x, y, vx, vy = digits(seed=script.seed)
    model = deep(10)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-4),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=500,
        val=lambda: float(cross_entropy(model, vx, vy))))  # fmt: skip


@healthy()
def tanh_mlp(script: Script) -> None:
    """Four tanh layers with Xavier's initialisation."""
    x, y, vx, vy = digits(seed=script.seed)
    model = deep(4, act=nn.Tanh)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=600,
        val=lambda: float(cross_entropy(model, vx, vy))))  # fmt: skip


@healthy()
def transformer_letters(script: Script) -> None:
    """A causal transformer with warm-up and cosine decay, its gradients clipped."""
    from tests.zoo.networks import Transformer
    from tests.zoo.rates import warm_cosine

    x = text(script.seed)
    model = Transformer()
    fit(script, Plan(model, torch.optim.AdamW(model.parameters(), 2e-3),
        batches(32, x, seed=script.seed), next_letter, steps=400, clip=1.0,
        rate=warm_cosine, tags=HUGGING_FACE))  # fmt: skip


@healthy()
def regression_diabetes(script: Script) -> None:
    """A small real data set with a high floor of noise; L2."""
    x, y = diabetes()
    model = mlp(10, 16, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x[:350], y[:350], seed=script.seed), squared, steps=500,
        val=lambda: float(squared(model, x[350:], y[350:])), tags=BARE))  # fmt: skip


@healthy()
def regression_l1(script: Script) -> None:
    """A teacher's function, L1."""
    x, y = teacher(script.seed)
    model = mlp(16, 64, 64, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x[:900], y[:900], seed=script.seed), absolute, steps=700,
        val=lambda: float(absolute(model, x[900:], y[900:]))))  # fmt: skip


@healthy()
def images_between_zero_and_one(script: Script) -> None:
    """Images scaled to [0, 1], as most people feed them, are not whitened and learn well."""
    x, y, vx, vy = digits("unit", seed=script.seed)
    model = conv(8)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=500,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=CHARTS))  # fmt: skip


@healthy()
def dropout(script: Script) -> None:
    """Half of the units dropped: the training loss is above the validation's."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 128, 128, 10, dropout=0.5)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=800,
        val=lambda: float(cross_entropy(model, vx, vy)),
        score=lambda: right(model, vx, vy), tags=LIGHTNING))  # fmt: skip


@healthy()
def weight_decay_and_big_batches(script: Script) -> None:
    """Batches of 256 with AdamW: hardly any noise."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05),
        batches(256, x, y, seed=script.seed), cross_entropy, steps=400,
        val=lambda: float(cross_entropy(model, vx, vy))))  # fmt: skip
