"""What a training script holds: a seed, a SummaryWriter, perhaps the hook, and a clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

import monitor
from monitor.hook import Handle
from monitor.hook.handle import Silent
from monitor.points import Floats
from tests.zoo.clock import Clock, told_by


class Killed(Exception):  # noqa: N818  (it is what happens)
    """The process was killed: nothing says that the run is over."""


@dataclass
class Note:
    """What only the recorder knows of one run."""

    onset: int = 0
    """The step from which on the fault can be seen by someone who knows it."""
    known: bool = True
    """By construction; else it was computed from what was recorded."""
    last: int = 0
    """The last step logged."""
    hears: list[float] = field(default_factory=list)
    """When a monitor looks that follows the run live, in seconds since the epoch."""


class Script:
    """One run being recorded into ``place``; a context manager."""

    def __init__(self, place: Path, seed: int, hook: bool = True) -> None:
        self.place = place
        self.seed = seed
        self.clock = Clock()
        self.note = Note()
        self.logged: dict[str, list[tuple[int, float]]] = {}
        self._hook = hook
        self._writers: dict[str, SummaryWriter] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Script:
        torch.manual_seed(self.seed)
        self._stack.enter_context(told_by(self.clock))
        return self

    def __exit__(self, *exception: object) -> None:
        self.restart()
        self._stack.close()

    def generator(self, stream: int = 0) -> np.random.Generator:
        """Random numbers of the run's own."""
        return np.random.default_rng([self.seed, stream])

    def watch(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        first_step: int = 0,
        every: int = 10,
        place: str = "",
        rank: int | None = None,
    ) -> Handle:
        """The hook, where the kind has one."""
        if not self._hook:
            return Silent()
        return monitor.watch(
            model,
            optimizer,
            logdir=self.place / place,
            first_step=first_step,
            every=every,
            rank=rank,
        )

    def scalar(self, tag: str, value: float, step: int, place: str = "") -> None:
        """What people log, by TensorBoard's writer; ``place``: a directory below the run's."""
        writer = self._writers.get(place)
        if writer is None:
            writer = self._writers[place] = SummaryWriter(
                str(self.place / place), max_queue=1000, flush_secs=600
            )
        writer.add_scalar(tag, value, step, walltime=self.clock.time())
        self.logged.setdefault(tag, []).append((step, float(value)))
        self.note.last = max(self.note.last, step)

    def restart(self) -> None:
        """The process ends; what is logged from now on is in new files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def curve(self, tag: str) -> tuple[Floats, Floats]:
        """(steps, values) logged so far."""
        steps, values = zip(*self.logged[tag], strict=True)
        return np.array(steps, dtype=float), np.array(values)

    def onset(self, step: int, known: bool = True) -> None:
        """Says where the fault can be seen from, and whether it was built in there."""
        self.note.onset = int(step)
        self.note.known = known

    def heard_at(self, *later: float) -> None:
        """A monitor that follows the run looks so many seconds from now."""
        self.note.hears += [self.clock.now + seconds for seconds in later]

    @contextlib.contextmanager
    def may_die(self) -> Iterator[None]:
        """What a :class:`Killed` ends."""
        with contextlib.suppress(Killed):
            yield
