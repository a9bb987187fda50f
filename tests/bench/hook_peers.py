"""What people use instead of the hook, and what it costs: wandb.watch, histograms, debug hooks.

    python -m tests.bench.hook_peers [SECONDS PER NETWORK]

Each of ``PEERS`` is installed on a model of its own and called after each of its steps; those
whose package is missing are left out (``pip install -e '.[bench-hook]'`` brings wandb, which is
run offline: nothing leaves the machine). Run alone, this prints the table: all of them, ours at
every step, ours for parameters only (the peers see no activations, but for debug hooks), and an
unhooked twin as the control, interleaved step by step in random order. One thread, CPU; wandb
has a process of its own beside it, whose work is not counted.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import monitor

WARMUP = 5


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


def ours(model: nn.Module, optimizer: Optimizer, directory: Path) -> Attached:
    """``monitor.watch`` at every step."""
    health = monitor.watch(model, optimizer, logdir=directory, every=1, budget=math.inf)
    return Attached(nothing, health.close)


def ours_parameters_only(model: nn.Module, optimizer: Optimizer, directory: Path) -> Attached:
    """The same without activations: of a list of parameters, no forward pass is seen."""
    return ours(nn.ParameterList(model.parameters()), optimizer, directory)


_NEEDS: dict[str, tuple[str, Attach]] = {
    "wandb.watch": ("wandb", wandb_watch),
    "histograms": ("tensorboard", tensorboard_histograms),
    "debug hooks": ("transformers", debug_underflow_overflow),
}

PEERS: dict[str, Attach] = {
    name: attach
    for name, (package, attach) in _NEEDS.items()
    if importlib.util.find_spec(package) is not None
}
"""By name, those whose package is installed."""


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


@dataclass
class Contestant:
    """One copy of the network in training, with one peer on it."""

    attach: Attach
    network: nn.Module
    x: Tensor
    directory: Path
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
        self.attached = self.attach(self.network, self.optimizer, self.directory)

    def step(self) -> None:
        """One training step, timed with what the peer does after it."""
        begin = time.perf_counter()
        self.optimizer.zero_grad()
        self.network(self.x).square().mean().backward()
        self.optimizer.step()
        self.attached.after_step(len(self.times))
        self.times.append(time.perf_counter() - begin)

    def median(self) -> float:
        """Seconds of a step, the first few aside."""
        return statistics.median(self.times[WARMUP:])


def measure(
    make: Callable[[], tuple[nn.Module, Tensor]], attaches: dict[str, Attach], seconds: float
) -> dict[str, float]:
    """Median seconds of a step for each name; each gets as many steps as the others."""
    network, x = make()
    with tempfile.TemporaryDirectory() as root:
        contestants = {
            name: Contestant(attach, copy.deepcopy(network), x, _made(Path(root, str(i))))
            for i, (name, attach) in enumerate(attaches.items())
        }
        # A writer's thread works on into the next one's step: let it be anyone's.
        shuffle = random.Random(0)
        end = time.perf_counter() + seconds
        turn = 0
        while time.perf_counter() < end or turn < 3 * WARMUP:
            for contestant in shuffle.sample(list(contestants.values()), len(contestants)):
                contestant.step()
            turn += 1
        for contestant in contestants.values():
            contestant.attached.detach()
        return {name: contestant.median() for name, contestant in contestants.items()}


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def main() -> None:
    from tests.bench.bench_hook import cnn, mlp

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # they slow down a step more than any hook
    torch.manual_seed(0)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 40.0
    attaches: dict[str, Attach] = {
        "unhooked": unhooked,
        "A/A": unhooked,
        "ours, every=1": ours,
        "ours, no act.": ours_parameters_only,
        **PEERS,
    }
    left_out = sorted(_NEEDS.keys() - PEERS.keys())
    line = functools.partial("{:>16}{:>20}{:>20}{:>20}".format)
    networks = {"mlp": mlp, "cnn": cnn, "gpt": gpt}
    found = {name: measure(make, attaches, seconds) for name, make in networks.items()}
    print(line("", *(f"{n} {1000 * found[n]['unhooked']:.1f} ms" for n in networks)))
    for name in list(attaches)[1:]:
        cells = []
        for network in networks:
            base, mine = found[network]["unhooked"], found[network][name]
            cells.append(f"{mine / base:.3f} {1000 * (mine - base):+.1f} ms")
        print(line(name, *cells))
    if left_out:
        print(f"not installed: {', '.join(left_out)}")
    print(f"again: python -m tests.bench.hook_peers {seconds:g}")


if __name__ == "__main__":
    main()
