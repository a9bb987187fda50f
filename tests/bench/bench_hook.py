"""What the hook costs beside what people use instead: step time with it over step time without.

    python -m tests.bench.bench_hook [SECONDS PER NETWORK] [NETWORK ...]

Contestants take turns step by step in random order, so that a busy machine hurts all of them
alike; "unhooked again" is the network against its own twin and shows the resolution. Two clocks
are read: that of the processor (of the training thread), which other people's work on the machine
hardly touches, and that of the wall. Writers' threads and wandb's process are in neither,
whoever's they are; ``bench_stream`` has what ours takes.

A median hides the one step in ten that is looked at, so the cost of a cadence is worked out as
(looked-at step - other step) / k. Taking turns would mislead the budget, which is therefore off
there; the last line trains the network alone, with the defaults, and says which k came of it.
One thread on the CPU; on CUDA, where there is one, each step is waited for.
"""

from __future__ import annotations

import copy
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

import monitor
from monitor.hook.session import Session
from tests.bench.hook_networks import NETWORKS
from tests.bench.hook_peers import (
    CONTESTANTS,
    DEFAULT,
    EVERY,
    LEFT_OUT,
    UNHOOKED,
    Attach,
)

WARMUP = 25
"""Steps that do not count: the hook looks at each of the first 20."""

LEAST = WARMUP + 25
"""Steps of each at least, however long they take."""

ALONE = 25.0
"""Seconds of training by itself, with the defaults."""

CPU, WALL = 0, 1


@dataclass
class Contestant:
    """One copy of the network in training, with something on it or nothing."""

    attach: Attach
    network: nn.Module
    x: Tensor
    directory: Path
    times: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of each step, by the processor's clock and by the wall's."""

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
        self.attached = self.attach(self.network, self.optimizer, self.directory)

    def step(self) -> None:
        """One training step, timed with what the contestant does after it."""
        begin = _clocks(self.x)
        train_step(self.network, self.optimizer, self.x)
        self.attached.after_step(len(self.times))
        end = _clocks(self.x)
        self.times.append((end[CPU] - begin[CPU], end[WALL] - begin[WALL]))

    def median(self, clock: int) -> float:
        """Seconds of a step, warm-up aside."""
        return statistics.median(times[clock] for times in self.times[WARMUP:])

    def looked_at(self, looked: bool, clock: int) -> float:
        """The same of the steps that are looked at every tenth time, or of the others."""
        counted = range(WARMUP, len(self.times))
        chosen = [i for i in counted if (i % EVERY == 0) is looked]
        return statistics.median(self.times[i][clock] for i in chosen)


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    """What is timed."""
    optimizer.zero_grad()
    network(x).square().mean().backward()
    optimizer.step()


def _clocks(x: Tensor) -> tuple[float, float]:
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.thread_time(), time.perf_counter()


def measure(network: nn.Module, x: Tensor, seconds: float) -> dict[str, Contestant]:
    """All contestants on copies of the network; each gets as many steps as the others."""
    with tempfile.TemporaryDirectory() as root:
        contestants = {
            name: Contestant(attach, copy.deepcopy(network), x, Path(root, str(i)))
            for i, (name, attach) in enumerate(CONTESTANTS.items())
        }
        shuffle = random.Random(0)
        end = time.perf_counter() + seconds
        turn = 0
        while time.perf_counter() < end or turn < LEAST:
            for contestant in shuffle.sample(list(contestants.values()), len(contestants)):
                contestant.step()
            turn += 1
        for contestant in contestants.values():
            contestant.attached.detach()
        return contestants


def table(found: dict[str, Contestant]) -> list[list[str]]:
    """[contestant, by the processor's clock, by the wall's], each as ratio and milliseconds."""
    base = [found[UNHOOKED].median(clock) for clock in (CPU, WALL)]
    rows = [[UNHOOKED, *(f"{1000 * seconds:.1f} ms" for seconds in base)]]
    for name, contestant in found.items():
        if name not in (UNHOOKED, DEFAULT):
            more = [contestant.median(clock) - base[clock] for clock in (CPU, WALL)]
            rows.append([name, *map(_ratio, more, base)])
    tenth = found[DEFAULT]
    looks = [tenth.looked_at(True, c) - tenth.looked_at(False, c) for c in (CPU, WALL)]
    others = [tenth.looked_at(False, clock) - base[clock] for clock in (CPU, WALL)]
    rows.append(["ours, not looked at", *map(_ratio, others, base)])
    rows.append([DEFAULT, *map(_ratio, [look / EVERY for look in looks], base)])
    return rows


def _ratio(more: float, base: float) -> str:
    return f"{1 + more / base:.3f} {1000 * more:+.2f} ms"


def alone(network: nn.Module, x: Tensor, seconds: float) -> str:
    """Training by itself with the defaults: the cadence that came of it, and its cost."""
    network = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    looks: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as logdir:
        health = monitor.watch(network, optimizer, logdir=logdir)
        assert isinstance(health, Session)
        step, end, first = 0, time.perf_counter() + seconds, health._cadence.every
        while time.perf_counter() < end or step < 8 * WARMUP:
            looked, begin = health._sampling, _clocks(x)
            train_step(network, optimizer, x)
            if step >= WARMUP:
                now = _clocks(x)
                looks[looked].append((now[CPU] - begin[CPU], now[WALL] - begin[WALL]))
            step += 1
        k = health._cadence.every
        health.close()
    shares = []
    for clock in (CPU, WALL):
        other = statistics.median(times[clock] for times in looks[False])
        more = statistics.median(times[clock] for times in looks[True]) - other
        shares.append(f"{100 * more / (k * other):.2f} %")
    return f"{step} steps; every {first}th looked at, then every {k}th: " + " and ".join(shares)


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # they slow down a step more than any hook
    torch.manual_seed(0)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 40.0
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for name in sys.argv[2:] or list(NETWORKS):
        for device in devices:
            network, x = NETWORKS[name]()
            network, x = network.to(device), x.to(device)
            print(f"{name} on {device}: ratios to the unhooked step")
            for row in table(measure(network, x, seconds)):
                print("  {:24}{:>20}{:>20}".format(*row))
            print(f"  alone: {alone(network, x, min(seconds, ALONE))}", flush=True)
    print("columns, and shares: by the training thread's processor time; by the wall's clock")
    if LEFT_OUT:
        print(f"not installed: {', '.join(LEFT_OUT)}")
    print(f"again: python -m tests.bench.bench_hook {seconds:g} {' '.join(sys.argv[2:])}")


if __name__ == "__main__":
    main()
