"""Faults: runs that fall silent, and runs that get slower."""

from __future__ import annotations

import math

import torch

from tests.zoo.kinds import faulty
from tests.zoo.loop import CHARTS, LIGHTNING, PLAIN, Batches, Plan, batches, fit
from tests.zoo.networks import conv, mlp
from tests.zoo.script import Killed, Script
from tests.zoo.tasks import cross_entropy, digits, squared, teacher


def _dies(source: Batches, after: int) -> Batches:
    for i, batch in enumerate(source):
        if i == after:
            raise Killed
        yield batch


def _silence(script: Script, plan: Plan) -> None:
    """Trains until the process is killed; a monitor listens for an hour."""
    with script.may_die():
        fit(script, plan)
    script.onset(script.note.last)
    script.heard_at(5, 60, 300, 900, 1800, 3600)


@faulty("stalled")
def process_killed(script: Script) -> None:
    """Out of memory: the process is gone without a word."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 32, 10)
    source = _dies(batches(64, x, y, seed=script.seed), 350 + 30 * (script.seed % 3))
    _silence(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3), source,
        cross_entropy, steps=800, val=lambda: float(cross_entropy(model, vx, vy)),
        tags=CHARTS))  # fmt: skip


@faulty("stalled", hook=False)
def loader_deadlocked(script: Script) -> None:
    """A deadlock in the data loader, in a run that had paused for evaluations before."""
    x, y = teacher(script.seed)
    model = mlp(16, 48, 1)
    source = _dies(batches(32, x, y, seed=script.seed), 500)

    def pause(step: int) -> None:
        if step and step % 100 == 0:
            script.heard_at(30)
            script.clock.sleep(60)

    _silence(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3), source, squared,
        steps=1000, before=pause, seconds=lambda _: 1.0, tags=PLAIN))  # fmt: skip


SLOW = ("plateau",)


@faulty("throughput_drop", beside=SLOW)
def loader_slows_down(script: Script) -> None:
    """The cache of the data loader is full: from a step on each batch takes four times as long."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    at = 400 + 50 * (script.seed % 3)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=1000,
        seconds=lambda step: 1.2 if step >= at else 0.3,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=LIGHTNING))  # fmt: skip
    script.onset(at)


@faulty("throughput_drop", beside=SLOW, hook=False)
def gpu_throttled(script: Script) -> None:
    """Heat: within fifty steps the step time creeps from 0.5 to 1.5 s, and stays there."""
    x, y = teacher(script.seed)
    model = mlp(16, 48, 1)
    at = 450 + 40 * (script.seed % 3)

    def seconds(step: int) -> float:
        return 0.5 + 1.0 / (1 + math.exp(-(step - at - 25) / 6))

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), squared, steps=1000, seconds=seconds,
        tags=PLAIN))  # fmt: skip
    script.onset(at + 25)


@faulty("throughput_drop", beside=SLOW)
def history_grows(script: Script) -> None:
    """A list that keeps every graph: each step takes a little longer than the one before."""
    x, y, _, _ = digits(seed=script.seed)
    model = conv(6)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x, y, seed=script.seed), cross_entropy, steps=600,
        seconds=lambda step: 0.3 * (1 + step / 100), tags=CHARTS))  # fmt: skip
    script.onset(100, known=False)  # twice as slow as at the start
