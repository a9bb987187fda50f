"""The article's case study: a convolutional regression network, in the article's eight steps.

The task: of an image of 8 x 8 "temperatures" that reach from 0 to 1.4e8, most of them small, tell
four numbers about where the heat is. What the article found at each step is what has to be said.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tests.zoo.kinds import faulty, healthy
from tests.zoo.loop import Plan, Tags, batches, fit, sequence
from tests.zoo.script import Script
from tests.zoo.tasks import squared, tensor

TAGS = Tags("train/loss", "train/lr", "", "train/grad_norm")
C = 2e6
"""Of tanh(x / C), measured: most of the data is about as large."""
WIDE = 12.0
"""Width of the normal weights in steps 1 to 6: each layer multiplies the signal by about ninety."""
ERROR = 3.0
"""The targets' scale: the initial error is far above 5, as the article's was."""


def heat(seed: int, samples: int = 512) -> tuple[Tensor, Tensor]:
    """Images [N, 64] of a hot spot, and its place, width and brightness [N, 4]."""
    rng = np.random.default_rng([seed, 8])
    x, y = rng.uniform(1, 6, (2, samples, 1, 1))
    width = rng.uniform(0.7, 1.6, (samples, 1, 1))
    bright = rng.uniform(0.0, 1.0, (samples, 1, 1))
    grid = np.arange(8.0)
    distance = (grid[:, None] - y) ** 2 + (grid[None, :] - x) ** 2
    picture = 1e5 * 1.4e3**bright * np.exp(-distance / (2 * width**2))
    truth = np.concatenate([x, y, 3 * width, 4 * bright], axis=2)[:, 0]
    return tensor(picture.reshape(samples, 64)), tensor(ERROR * truth)


def network(norm: bool, std: float = 0.0, layers: int = 8, width: int = 12) -> nn.Module:
    """Convolutions; ``std``: normal weights of that width; 0: variance scaling by fan-in."""
    parts: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    channels = 1
    for _ in range(layers):
        parts.append(nn.Conv2d(channels, width, 3, padding=1))
        parts += [nn.BatchNorm2d(width)] if norm else []
        parts.append(nn.ReLU())
        channels = width
    parts += [nn.Flatten(), nn.Linear(64 * width, 4)]
    model = nn.Sequential(*parts)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if std:
                nn.init.normal_(module.weight, std=std)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def squashed(x: Tensor) -> Tensor:
    """The article's remedy for the range."""
    return torch.tanh(x / C)


def clipped(x: Tensor) -> Tensor:
    """The article's first attempt."""
    return x.clamp(0, 1e4)


def _train(
    script: Script, model: nn.Module, x: Tensor, y: Tensor, lr: float, steps: int,
    rate: Callable[[float], float] | None = None, size: int = 16,
) -> None:  # fmt: skip
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), lr),
        batches(min(size, len(x)), x, y, seed=script.seed), squared, steps=steps, rate=rate,
        tags=TAGS))  # fmt: skip


BAD_START = ("bad_init_hidden_by_norm", "bad_init")
AROUND = ("unnormalised_input", "bad_init_hidden_by_norm", "bad_init", "update_ratio", "loss_spike",
    "gradient_noise", "dead_units", "exploding_gradient", "slow_learning", "plateau")  # fmt: skip
"""What is wrong with these networks besides, which the article found out later."""


@faulty(
    "unnormalised_input",
    or_else=(*BAD_START, "not_learning", "oscillation"),
    beside=(*AROUND, "divergence", "vanishing_gradient"),
    advice="whiten|normali|tanh|standard deviation",
)
def case_1_does_not_learn(script: Script) -> None:
    """Raw inputs up to 1.4e8, weights far too wide under batch norm, and a rate too high."""
    x, y = heat(script.seed)
    _train(script, network(norm=True, std=WIDE), x, y, 0.1, 500)


@faulty(
    "oscillation",
    or_else=("divergence", "not_learning", *BAD_START),
    beside=(*AROUND, "vanishing_gradient"),
    advice="learning rate|initiali[sz]ation",
)
def case_2_clipped_and_wild(script: Script) -> None:
    """Inputs clipped to a range: the loss is wild; the rate is too high."""
    x, y = heat(script.seed)
    _train(script, network(norm=True, std=WIDE), clipped(x) / 1e4, y, 3.0, 600, size=8)


def _few(script: Script) -> tuple[Tensor, Tensor]:
    """A single group of inputs."""
    x, y = heat(script.seed)
    return clipped(x[:16]) / 1e4, y[:16]


@faulty("early_decay", or_else=BAD_START, beside=AROUND, advice="decay")
def case_3_decayed_too_early(script: Script) -> None:
    """A single group of inputs, a lower rate, steps down at 3 and 30 % of the run."""
    x, y = _few(script)
    _train(script, network(norm=True, std=WIDE), x, y, 1e-3, 1200,
        sequence([(0, 1), (0.03, 0.1), (0.3, 0.01)]))  # fmt: skip
    script.onset(150, known=False)


@faulty("early_decay", or_else=BAD_START, beside=AROUND)
def case_4_decayed_later(script: Script) -> None:
    """Steps down at 20 and 50 %: a lower loss, still not zero."""
    x, y = _few(script)
    _train(script, network(norm=True, std=WIDE), x, y, 1e-3, 1200,
        sequence([(0, 1), (0.2, 0.1), (0.5, 0.01)]))  # fmt: skip
    script.onset(360, known=False)  # a tenth of the run after the first step


@faulty("bad_init_hidden_by_norm", or_else=("bad_init",), beside=AROUND, advice="norm")
def case_5_no_decay_and_tanh(script: Script) -> None:
    """No decay, inputs through tanh: better, but the set cannot be overfitted."""
    x, y = heat(script.seed)
    _train(script, network(norm=True, std=WIDE), squashed(x), y, 1e-3, 800)


@faulty(
    "nonfinite",
    or_else=("bad_init",),
    severity="critical",
    advice="initiali[sz]ation",
    beside=(*AROUND, "divergence"),
)
def case_6_without_norm(script: Script) -> None:
    """Batch norm removed: what it was hiding shows, NaN at the first or second step."""
    x, y = heat(script.seed)
    _train(script, network(norm=False, std=WIDE), squashed(x), y, 1e-3, 100)
    _, loss = script.curve("train/loss")
    bad = np.flatnonzero(~np.isfinite(loss))
    script.onset(int(bad[0]) if len(bad) else 0, known=False)


@healthy(beside=("plateau", "overfitting"))
def case_6_variance_scaling(script: Script) -> None:
    """Without norm, with variance-scaling initialisation: one or two inputs are overfitted."""
    x, y = heat(script.seed)
    _train(script, network(norm=False), squashed(x[:2]), y[:2], 3e-4, 800)


@healthy(beside=("plateau",))
def case_7_tail_decay(script: Script) -> None:
    """The whole set, no decay but a tenth at the end: better still."""
    x, y = heat(script.seed)
    _train(script, network(norm=False), squashed(x), y, 5e-4, 1200,
        sequence([(0, 1), (0.85, 0.1)]))  # fmt: skip


@faulty(
    "early_decay", or_else=("slow_learning",), beside=("plateau", "update_ratio"), advice="decay"
)
def case_8_geometric_too_fast(script: Script) -> None:
    """A rate that falls by a constant factor each step, far too fast for the run.

    The article's 0.9995 over tens of thousands of steps; here 0.99 over 1,200.
    """
    x, y = heat(script.seed)
    _train(script, network(norm=False), squashed(x), y, 5e-4, 1200,
        lambda part: 0.99 ** (1200 * part))  # fmt: skip
    script.onset(460, known=False)  # a hundredth is left


@healthy(beside=("plateau",))
def case_8_geometric_slow(script: Script) -> None:
    """0.999995 at each step: about the same as no decay."""
    x, y = heat(script.seed)
    _train(script, network(norm=False), squashed(x), y, 5e-4, 1000,
        lambda part: 0.999995 ** (1000 * part))  # fmt: skip
