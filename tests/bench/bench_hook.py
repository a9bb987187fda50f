"""What the hook costs: step time with it over step time without it.

    python tests/bench/bench_hook.py [SECONDS PER NETWORK]

Variants take turns step by step in random order, so that a busy machine hurts all of them
alike; A/A is the unhooked network against its own twin and shows the resolution. A median hides
the one step in ten that is looked at, so the cost of the default cadence is worked out as
1 + (looked-at step - other step) / (10 * unhooked step). The budget, which would widen the
cadence, is off. One thread, CPU.
"""

from __future__ import annotations

import copy
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

import monitor

EVERY = 10
WARMUP = 25  # the hook looks at each of the first 20 steps


def mlp() -> tuple[nn.Module, Tensor]:
    wide = [m for _ in range(4) for m in (nn.Linear(512, 512), nn.ReLU())]
    return nn.Sequential(*wide, nn.Linear(512, 10)), torch.randn(256, 512)


def cnn() -> tuple[nn.Module, Tensor]:
    def block(inside: int, outside: int) -> list[nn.Module]:
        return [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]

    layers = [*block(3, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), *block(64, 64)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*layers, *head), torch.randn(16, 3, 32, 32)


@dataclass
class Variant:
    """One copy of the network in training; ``every`` is None without the hook."""

    name: str
    network: nn.Module
    x: Tensor
    every: int | None
    logdir: str
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
        self.health = None
        if self.every is not None:
            self.health = monitor.watch(
                self.network, self.optimizer, logdir=self.logdir, every=self.every, budget=math.inf
            )

    def step(self) -> None:
        """One training step, timed."""
        begin = time.perf_counter()
        self.optimizer.zero_grad()
        self.network(self.x).square().mean().backward()
        self.optimizer.step()
        self.times.append(time.perf_counter() - begin)

    def looked_at(self, looked: bool) -> float:
        """Median seconds of the steps that the hook did (or did not) look at, warm-up aside."""
        every = self.every or 1
        chosen = [t for i, t in enumerate(self.times) if (i % every == 0) is looked]
        return statistics.median(chosen[WARMUP // every :] if looked else chosen[WARMUP:])


def measure(make: Callable[[], tuple[nn.Module, Tensor]], seconds: float) -> list[str]:
    """The row of one network: unhooked milliseconds, then ratios."""
    network, x = make()
    with tempfile.TemporaryDirectory() as logdir:
        a, b, each, tenth = (
            Variant(name, copy.deepcopy(network), x, every, logdir)
            for name, every in (("A", None), ("A again", None), ("1", 1), ("10", EVERY))
        )
        variants = [a, b, each, tenth]
        end = time.perf_counter() + seconds
        # A writer's thread works on into the next variant's step: let it be anyone's.
        shuffle = random.Random(0)
        turn = 0
        while time.perf_counter() < end or turn <= 3 * WARMUP:
            for variant in shuffle.sample(variants, 4):
                variant.step()
            turn += 1
        base = statistics.median(a.times[WARMUP:] + b.times[WARMUP:])
        ratios = [
            statistics.median(b.times[WARMUP:]) / statistics.median(a.times[WARMUP:]),
            each.looked_at(True) / base,
            tenth.looked_at(False) / base,
            1 + (tenth.looked_at(True) - tenth.looked_at(False)) / (EVERY * base),
        ]
        for variant in (each, tenth):
            assert variant.health is not None
            variant.health.close()
        return [f"{1000 * base:.1f}", *(f"{ratio:.3f}" for ratio in ratios), str(turn)]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 9.0
    heads = ["", "ms", "A/A", "every=1", "not looked", "default", "steps"]
    print(("{:>11}" * len(heads)).format(*heads))
    for name, make in (("mlp", mlp), ("cnn", cnn)):
        print(("{:>11}" * len(heads)).format(name, *measure(make, seconds)))
    print(f"again: python tests/bench/bench_hook.py {seconds:g}")


if __name__ == "__main__":
    main()
