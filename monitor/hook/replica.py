"""The other ranks of data-parallel training: do they still hold the same weights as the first?"""

from __future__ import annotations

import atexit
import operator
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from monitor.formats.layerstats import (
    COMPARED_RANKS,
    REPLICA_NORM,
    STEPS_SEEN,
    Header,
    encode_frame,
)
from monitor.hook.cadence import Cadence
from monitor.hook.callbacks import Callback
from monitor.hook.guard import Guard
from monitor.hook.handle import Number
from monitor.hook.layout import unwrapped
from monitor.hook.parameters import two_norms
from monitor.hook.scaling import LossScaling
from monitor.hook.shards import world_size
from monitor.hook.tensors import HostCopy, capturing, usable
from monitor.hook.writer import Writer, file_name


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The norms of all weights before a step, on their way from the device."""

    step: int
    wall_time: float
    seen: int
    """Steps of this process before this one: ranks that number steps in their own ways agree."""
    norms: HostCopy
    header: Header

    def ready(self) -> bool:
        """Whether the numbers have arrived on the host."""
        return self.norms.ready()

    def encode(self) -> bytes:
        """The record's payload: one norm, of all weights together."""
        whole = float(self.norms.values().double().square().sum().sqrt())
        scalars = {REPLICA_NORM: whole, STEPS_SEEN: float(self.seen)}
        return encode_frame(self.step, self.wall_time, 0, {}, scalars)


class Replica:
    """Tells the norm of the weights now and then, and nothing else: the first rank tells the rest.

    Copies that are trained together are the same to the bit, so that one number shows whether
    they still are. The daemon compares; no rank asks another one.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        logdir: Path,
        every: int,
        budget: float,
        rank: int,
        first_step: int,
    ) -> None:
        self._guard = Guard()
        self._cadence = Cadence(every, budget, doubling=True)
        self._model = weakref.ref(unwrapped(model))
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        facts = {"rank": str(rank), "world_size": str(world_size()), "replica": "yes"}
        self._header = Header(0, {}, facts)
        self._next, self._seen = first_step, 0
        self._last_time = float("nan")
        self._writer = Writer(logdir / file_name(time.time()))
        self._scaling = LossScaling(self._number, self._on_skipped)
        first, last = optimizers[0], optimizers[-1]
        self._handles = [
            first.register_step_pre_hook(Callback(self._on_step)),
            last.register_step_post_hook(Callback(self._on_stepped)),
        ]
        self._writer.start()
        atexit.register(self.close)
        self._sampling = self._cadence.advance()

    def log(self, values: Mapping[str, Number], step: int | None = None) -> None:
        """Does nothing: as many curves of one name as ranks would be read as one."""

    def step(self, step: int) -> None:
        """Say that step number ``step`` is over; the next one is ``step + 1``."""
        self._guard.attempt(self._number_next, step)

    def close(self) -> None:
        """Take the hooks off and write what is left. Twice is once."""
        if not self._guard.open:
            return
        self._guard.open = False
        atexit.unregister(self.close)
        self._scaling.remove()
        for handle in self._handles:
            handle.remove()
        self._writer.close(finished=False)  # that the run is over is for the first rank to say

    def __enter__(self) -> Replica:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _on_step(self, *_args: Any) -> None:
        if self._sampling:
            self._guard.run("weights", self._measure)

    def _on_stepped(self, *_args: Any) -> None:
        self._guard.run("steps", self._end_step)

    def _on_skipped(self, which: int) -> None:
        if which >= len(self._optimizers) - 1:
            self._guard.run("steps", self._end_step)

    def _measure(self) -> None:
        model = self._model()
        if model is None or capturing():
            return
        found = (usable(p) for p in model.parameters() if p.requires_grad)
        copy = HostCopy(two_norms([weight for weight in found if weight is not None]))
        record = Fingerprint(self._next, time.time(), self._seen, copy, self._header)
        self._writer.offer(record)

    def _end_step(self) -> None:
        now = time.perf_counter()
        seconds, self._last_time = now - self._last_time, now
        self._cadence.spent(seconds, self._sampling)
        self._next, self._seen = self._next + 1, self._seen + 1
        self._sampling = self._cadence.advance()

    def _number(self, optimizer: object) -> int:
        found = (i for i, ref in enumerate(self._optimizers) if ref() is optimizer)
        return next(found, -1) if self._guard.open else -1

    def _number_next(self, step: int) -> None:
        self._next = operator.index(step) + 1


def comparable(optimizers: Sequence[Optimizer], rank: int) -> bool:
    """Whether this rank is one of those that are compared with the first."""
    return bool(optimizers) and 0 < rank < min(world_size(), COMPARED_RANKS)
