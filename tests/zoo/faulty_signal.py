"""Faults: what passes through the layers is too little, too much, or cut off."""

from __future__ import annotations

import torch
from torch import nn

from tests.zoo.kinds import faulty
from tests.zoo.loop import CHARTS, HUGGING_FACE, LIGHTNING, Plan, Tags, batches, fit
from tests.zoo.networks import conv, deep, mlp, weights
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, squared, teacher

HARDLY = ("not_learning", "slow_learning", "plateau", "update_ratio", "unchanged_weights",
    "gradient_noise")  # fmt: skip
"""What is also true of layers that hardly get a gradient."""


@faulty(
    "vanishing_gradient",
    or_else=("bad_init",),
    beside=(*HARDLY, "saturated_units"),
    advice="ReLU|initiali[sz]ation",
)
def twelve_sigmoids(script: Script) -> None:
    """Each sigmoid layer passes on a quarter of the gradient at best."""
    x, y, _, _ = digits(seed=script.seed)
    model = deep(12, width=48, act=nn.Sigmoid)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=400, tags=CHARTS))  # fmt: skip


@faulty("vanishing_gradient", or_else=("bad_init",), beside=(*HARDLY, "saturated_units"))
def tanh_initialised_small(script: Script) -> None:
    """Ten tanh layers whose weights are a fifth as wide as they should be."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(deep(10, width=48, act=nn.Tanh), lambda w: nn.init.normal_(w, std=0.03))
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=400, tags=LIGHTNING))  # fmt: skip


@faulty(
    "bad_init",
    or_else=("vanishing_gradient",),
    beside=(*HARDLY, "dead_units"),
    advice="initiali[sz]ation",
)
def normal_of_one_hundredth(script: Script) -> None:
    """Normal weights of width 0.01 in ten ReLU layers: the signal shrinks tenfold in each."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(deep(10, width=64), lambda w: nn.init.normal_(w, std=0.01))
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=400))  # fmt: skip


@faulty(
    "bad_init",
    or_else=("exploding_gradient",),
    advice="initiali[sz]ation",
    beside=(
        "divergence",
        "loss_spike",
        "oscillation",
        "dead_units",
        "update_ratio",
        "gradient_noise",
        "slow_learning",
        "plateau",
    ),
)
def normal_of_six_tenths(script: Script) -> None:
    """Normal weights of width 0.6 in six ReLU layers: the signal grows threefold in each."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(deep(6, width=64), lambda w: nn.init.normal_(w, std=0.6))
    fit(
        script,
        Plan(
            model,
            torch.optim.Adam(model.parameters(), 1e-4),
            batches(64, x, y, seed=script.seed),
            cross_entropy,
            steps=500,
            tags=HUGGING_FACE,
        ),
    )


def _hidden(layers: int, width: int, std: float) -> nn.Module:
    """Convolutions, or linear layers, of far too wide weights, each under batch norm."""
    model = deep(layers, width=width, norm=True)
    return weights(model, lambda w: nn.init.normal_(w, std=std))


@faulty(
    "bad_init_hidden_by_norm",
    or_else=("bad_init",),
    advice="norm",
    beside=("update_ratio", "slow_learning", "plateau", "gradient_noise"),
)
def batch_norm_hides_it(script: Script) -> None:
    """Weights of width 1 in eight layers with batch norm: it learns slowly, nobody sees why."""
    x, y, _, _ = digits(seed=script.seed)
    fit(script, Plan(model := _hidden(8, 64, 1.0), torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=400))  # fmt: skip


@faulty(
    "bad_init_hidden_by_norm",
    or_else=("bad_init",),
    advice="norm",
    beside=("update_ratio", "slow_learning", "plateau", "gradient_noise"),
)
def batch_norm_hides_it_in_convolutions(script: Script) -> None:
    """The same in a convolutional network."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(conv(12, norm=True, layers=5), lambda w: nn.init.normal_(w, std=1.0))
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.02, momentum=0.9),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=300, tags=CHARTS))  # fmt: skip


@faulty("dead_units", or_else=("bad_init",), beside=(*HARDLY, "vanishing_gradient"))
def biases_far_below_zero(script: Script) -> None:
    """Biases that begin at -3: nearly no unit is ever active."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.out_features == 64:
            nn.init.constant_(module.bias, -3.0)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.02),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=600))  # fmt: skip


@faulty(
    "dead_units",
    or_else=("oscillation", "divergence"),
    beside=(*HARDLY, "loss_spike", "exploding_gradient", "vanishing_gradient", "nonfinite"),
)
def killed_by_one_great_step(script: Script) -> None:
    """A huge rate in a few steps throws all biases far down; the units never come back."""
    x, y, _, _ = digits("unit", seed=script.seed)
    model = mlp(64, 64, 64, 10)
    at = 200 + 50 * (script.seed % 3)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=700,
        rate=lambda part: 1000.0 if at <= round(part * 700) < at + 5 else 1.0,
        tags=LIGHTNING))  # fmt: skip
    script.onset(at)


@faulty(
    "saturated_units",
    or_else=("unnormalised_input", "bad_init"),
    beside=(*HARDLY, "vanishing_gradient"),
)
def tanh_on_raw_pixels(script: Script) -> None:
    """Pixels from 0 to 255 into tanh: all units of the first layer are at -1 or 1."""
    x, y, _, _ = digits("raw", seed=script.seed)
    model = mlp(64, 64, 64, 10, act=nn.Tanh)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.02),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=500))  # fmt: skip


@faulty(
    "saturated_units",
    or_else=("bad_init",),
    beside=(*HARDLY, "vanishing_gradient", "oscillation", "exploding_gradient"),
)
def tanh_initialised_wide(script: Script) -> None:
    """Normal weights of width 3 in four tanh layers."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(deep(4, width=64, act=nn.Tanh), lambda w: nn.init.normal_(w, std=3.0))
    fit(
        script,
        Plan(
            model,
            torch.optim.Adam(model.parameters(), 1e-4),
            batches(64, x, y, seed=script.seed),
            cross_entropy,
            steps=500,
            tags=HUGGING_FACE,
        ),
    )


@faulty(
    "unnormalised_input",
    beside=(
        "slow_learning",
        "oscillation",
        "loss_spike",
        "dead_units",
        "exploding_gradient",
        "plateau",
        "gradient_noise",
        "bad_init",
    ),
    advice="mean|whiten|normali",
)
def raw_pixels(script: Script) -> None:
    """Pixels from 0 to 255, as they come from the file."""
    x, y, _, _ = digits("raw", seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=500, tags=CHARTS))  # fmt: skip


@faulty(
    "unnormalised_input",
    beside=(
        "slow_learning",
        "oscillation",
        "loss_spike",
        "dead_units",
        "exploding_gradient",
        "plateau",
        "gradient_noise",
        "bad_init",
        "not_learning",
        "divergence",
        "update_ratio",
        "saturated_units",
    ),
    advice="tanh",
)
def range_of_eight_decades(script: Script) -> None:
    """Inputs from 0 to 1.4e8, of which most are small."""
    x, y = teacher(script.seed)
    wide = 1.4e8 * torch.exp(3 * (x - 3))
    model = mlp(16, 64, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, wide, y, seed=script.seed), squared, steps=500))  # fmt: skip


@faulty(
    "unnormalised_input",
    beside=("slow_learning", "plateau", "not_learning", "gradient_noise"),
    advice="mean|whiten|normali",
)
def far_from_zero(script: Script) -> None:
    """Temperatures in kelvin: 300, give or take 5."""
    x, y = teacher(script.seed)
    model = mlp(16, 64, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-4),
        batches(64, 300 + 5 * x, y, seed=script.seed), squared, steps=500,
        tags=Tags(norm="grad_norm")))  # fmt: skip
