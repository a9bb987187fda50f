"""What the hook's stream costs: bytes, and CPU of the writer's thread, per step that is looked at.

    python -m tests.bench.bench_stream [LAYERS] [STEPS]

A real network of LAYERS modules with as many parameters (linear layers and activations by turns)
is trained for a few steps with the hook. The record of the last one is then written STEPS times
more, by the writer's own thread, for training ten thousand layers takes a while. Time is the
processor's own clock of that thread, waiting and waking included, so that a busy machine changes
little; what the training thread does is not in it; the headers that come in between are.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import monitor
from monitor.hook.session import Session
from monitor.hook.writer import Record, Writer

TRAINED = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Per step that was looked at."""

    bytes: float
    writer: float
    """Seconds of CPU of the writer's thread."""
    dropped: int


class Clocked:
    """Listens to a writer: the records, and its thread's clock in seconds of CPU after each."""

    def __init__(self, writer: Writer) -> None:
        self.records: list[Record] = []
        self.clock: list[float] = []
        self._write = writer._write
        writer._write = self._noted  # type: ignore[method-assign]

    def _noted(self, record: Record) -> None:
        self._write(record)
        self.records.append(record)
        self.clock.append(time.thread_time())

    def wait(self, count: int) -> None:
        """Until so many records have been written."""
        while len(self.clock) < count:
            time.sleep(0.001)


def network(layers: int) -> nn.Module:
    """``layers`` modules and as many parameters, as small as they can be."""
    return nn.Sequential(*(m for _ in range(layers // 2) for m in (nn.Linear(1, 1), nn.ReLU())))


def measure(layers: int, steps: int) -> Cost:
    """Train a few steps, then write the last one's record again and again."""
    model = network(layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with tempfile.TemporaryDirectory() as logdir:
        health = monitor.watch(model, optimizer, logdir=Path(logdir), every=1)
        assert isinstance(health, Session)
        clocked = Clocked(health._writer)
        for _ in range(TRAINED):
            optimizer.zero_grad()
            model(torch.ones(1, 1)).sum().backward()
            optimizer.step()
        clocked.wait(TRAINED)
        size = health.path.stat().st_size
        last = clocked.records[-1]
        for i in range(steps):
            health._writer.offer(last)
            clocked.wait(TRAINED + i + 1)
        size = health.path.stat().st_size - size
        health.close()
        spent = clocked.clock[-1] - clocked.clock[TRAINED - 1]
        return Cost(size / steps, spent / steps, health.dropped)


def main() -> None:
    torch.set_num_threads(1)
    layers, steps = (
        int(given) for given in (*sys.argv[1:], *("10000", "300")[len(sys.argv) - 1 :])
    )
    found = measure(layers, steps)
    print(f"{layers} layers, {steps} steps, each looked at; dropped: {found.dropped}")
    print(f"{found.bytes / 1e6:.3f} MB a step, {1000 * found.writer:.2f} ms of the writer's CPU")


if __name__ == "__main__":
    main()
