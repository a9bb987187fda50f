"""What is timed beside each other: the hook, and what people use instead of it.

Each of ``CONTESTANTS`` is installed on a model of its own and called after each of its steps;
those whose package is missing are left out, and ``LEFT_OUT`` names them (``pip install -e
'.[bench-hook]'`` brings wandb, which is run offline: nothing leaves the machine).
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

import monitor


@dataclass(frozen=True, slots=True)
class Attached:
    """A peer on a model: what to call when a step is over (with its number), and at the end."""

    after_step: Callable[[int], None]
    detach: Callable[[], None]


Attach = Callable[[nn.Module, Optimizer, Path], Attached]
"""Puts a peer on a model; what it writes goes into the directory."""


def nothing(*_: Any) -> None:
    """What peers without a need for one do after a step."""


def unhooked(model: nn.Module, optimizer: Optimizer, directory: Path) -> Attached:
    """The control."""
    return Attached(nothing, nothing)


def wandb_watch(model: nn.Module, optimizer: Optimizer, directory: Path) -> Attached:
    """``wandb.watch(log="all")`` at every step: histograms of weights and gradients."""
    import wandb

    os.environ.update(WANDB_MODE="offline", WANDB_ERROR_REPORTING="false")
    run = wandb.init(
        mode="offline",
        dir=directory,
        project="bench",
        settings=wandb.Settings(silent=True, console="off"),
    )
    run.watch(model, log="all", log_freq=1)
    # What watch found goes out with the next line of the run's history.
    return Attached(lambda step: run.log({"step": step}), run.finish)


def tensorboard_histograms(model: nn.Module, optimizer: Optimizer, directory: Path) -> Attached:
    """``add_histogram`` of every weight and every gradient."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(directory)

    def after_step(step: int) -> None:
        for name, parameter in model.named_parameters():
            writer.add_histogram(name, parameter, step)
            if parameter.grad is not None:
                writer.add_histogram(f"{name}.grad", parameter.grad, step)

    return Attached(after_step, writer.close)


def debug_underflow_overflow(model: nn.Module, optimizer: Optimizer, directory: Path) -> Attached:
    """transformers' watch for non-finite values: extremes of all weights, inputs and outputs."""
    from transformers.debug_utils import DebugUnderflowOverflow

    DebugUnderflowOverflow(model)
    return Attached(nothing, nothing)


def ours(
    model: nn.Module,
    optimizer: Optimizer,
    directory: Path,
    every: int = 1,
    activations: bool = True,
) -> Attached:
    """``monitor.watch``, at a cadence that no budget widens."""
    health = monitor.watch(
        model,
        optimizer,
        logdir=directory,
        every=every,
        budget=math.inf,
        activations=activations,
    )
    return Attached(nothing, health.close)


EVERY = 10
"""The cadence that ``monitor.watch`` has by default."""

UNHOOKED, AGAIN = "unhooked", "unhooked again"
EACH_STEP, DEFAULT, NO_ACTIVATIONS = "ours, every step", "ours, every tenth", "ours, no activations"

_PEERS: dict[str, tuple[str, Attach]] = {
    "wandb.watch": ("wandb", wandb_watch),
    "histograms": ("tensorboard", tensorboard_histograms),
    "debug hooks": ("transformers", debug_underflow_overflow),
}

LEFT_OUT = tuple(
    f"{name} ({package})"
    for name, (package, _) in _PEERS.items()
    if importlib.util.find_spec(package) is None
)

CONTESTANTS: dict[str, Attach] = {
    UNHOOKED: unhooked,
    AGAIN: unhooked,
    EACH_STEP: ours,
    DEFAULT: functools.partial(ours, every=EVERY),
    NO_ACTIVATIONS: functools.partial(ours, activations=False),
    **{
        name: attach
        for name, (package, attach) in _PEERS.items()
        if importlib.util.find_spec(package) is not None
    },
}
