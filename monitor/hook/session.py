"""The handle that ``monitor.watch`` returns, and the course of one step."""

from __future__ import annotations

import atexit
import functools
import math
import operator
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from monitor.formats.layerstats import STEPS_SEEN
from monitor.hook.cadence import Cadence, Unrest
from monitor.hook.callbacks import Callback
from monitor.hook.clipping import TAG as BEFORE_CLIPPING
from monitor.hook.clipping import Clipping
from monitor.hook.decay import decay_per_step
from monitor.hook.facts import facts, learning_rates
from monitor.hook.guard import Guard
from monitor.hook.guess import Guess
from monitor.hook.handle import Number
from monitor.hook.inspection import TABLE, Inspection
from monitor.hook.layout import Layout, layout, unwrapped
from monitor.hook.modules import Activations, ModuleWatch
from monitor.hook.parameters import ParameterWatch
from monitor.hook.progress import Progress
from monitor.hook.records import Frame, Scalars
from monitor.hook.scaling import LossScaling
from monitor.hook.shards import sharded, world_size
from monitor.hook.tensors import HostCopy, capturing
from monitor.hook.writer import Writer, file_name

UNSEEN = 3
"""Steps in a row in which no module ran before the stream says that hooks have vanished."""


class Session:
    """Watches one model until closed; keeps neither the model nor its parameters alive."""

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
        activations: bool,
    ) -> None:
        inner = unwrapped(model)
        self._copies = world_size() > 1 and not sharded(inner)
        self._cadence = Cadence(every, budget, doubling=world_size() > 1)
        self._unrest = Unrest()
        self._guard = Guard()
        self._model = weakref.ref(inner)
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        self._rank = rank
        self._facts = facts(inner, optimizers, rank)
        self._layout: Layout | None = None
        self._versions: tuple[object, ...] = (-1, -1)
        self._generation = 0
        self._next, self._seen = first_step, 0
        self._last_time = math.nan
        self._unseen = 0
        self._sampling = False
        self._writer = Writer(logdir / file_name(time.time()))
        self._modules = ModuleWatch(inner, self._guard.lose, activations, first=rank == 0)
        self._parameters = ParameterWatch()
        # Now, too: of a mere collection of models, only its parts may live on.
        self._guard.run("parameters", self._refresh)
        self._inspection = Inspection(inner) if rank == 0 else None
        self._inspected = 0
        self._guess = Guess(self._parameters.owns) if rank == 0 else None
        self._clipping = Clipping(self._parameters.owns)
        self._scaling = LossScaling(self._number, self._on_skipped)
        self._progress = Progress(len(optimizers))
        if not self._clipping.available:
            self._facts["grad_norm_before_clipping"] = "unavailable in this version of torch"
        self._handles = []
        for i, optimizer in enumerate(optimizers):
            before = Callback(functools.partial(self._on_step, i))
            after = Callback(functools.partial(self._on_stepped, i))
            self._handles.append(optimizer.register_step_pre_hook(before))
            self._handles.append(optimizer.register_step_post_hook(after))
        self._writer.start()
        atexit.register(self._at_exit)
        self._prepare()

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._writer.path

    @property
    def dropped(self) -> int:
        """Records lost to a full queue or a failing disk."""
        return self._writer.dropped

    def log(self, values: Mapping[str, Number], step: int | None = None) -> None:
        """Write scalars at ``step`` (default: the last one that is over).

        Tensors of one element are copied at once and read when they have arrived: nothing waits
        for the device. Without an optimizer to count for us, a new ``step`` also says that this
        step is over.
        """
        self._guard.attempt(self._log, values, step)

    def step(self, step: int) -> None:
        """Say that step number ``step`` is over; the next one is ``step + 1``.

        Without an optimizer this is what ends a step. With one, which counts by itself, it sets
        the number, e.g. after resuming from a checkpoint.
        """
        self._guard.attempt(self._step, step)

    def close(self) -> None:
        """Take the hooks off, write what is queued and mark the run as over. Twice is once."""
        self._close(finished=True)

    def _at_exit(self) -> None:
        # Python keeps the exception that ended a script: such a run is not over, it has died,
        # and the monitor should wonder at its silence.
        self._close(finished=not _died(getattr(sys, "last_type", None)))

    def _close(self, finished: bool) -> None:
        if not self._guard.open:
            return
        self._guard.open = False
        atexit.unregister(self._at_exit)
        self._modules.remove()
        self._clipping.remove()
        self._scaling.remove()
        if self._inspection is not None:
            self._inspection.remove()
        if self._guess is not None:
            self._guess.remove()
        for handle in self._handles:
            handle.remove()
        self._writer.close(finished)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close(finished=not _died(kind))

    # --- the course of a step -------------------------------------------------------------

    def _on_step(self, share: int, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        self._guard.run("optimizer_steps", self._progress.before, share, optimizer)
        if self._sampling:
            self._guard.run("parameters", self._measure_before, share, optimizer)

    def _on_stepped(self, share: int, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._guard.run("steps", self._stepped, share, optimizer, args, kwargs)

    def _on_skipped(self, share: int) -> None:
        """A loss scaler has not called an optimizer: its step is over, and changed nothing."""
        self._guard.run("steps", self._end_share, share)

    def _stepped(self, share: int, optimizer: Any, args: Any, kwargs: Any) -> None:
        if optimizer is not None:
            self._scaling.stepped(optimizer)
            self._progress.after(share)
        if self._sampling:
            closure = any(map(callable, args)) or callable(kwargs.get("closure"))
            self._guard.run("parameters", self._measure_after, share, optimizer, closure)
        self._end_share(share)

    def _end_share(self, share: int) -> None:
        if share >= len(self._optimizers) - 1:  # the last optimizer ends the step
            self._end_step()

    def _end_step(self) -> None:
        now = time.perf_counter()
        seconds, self._last_time = now - self._last_time, now
        step, self._next = self._next, self._next + 1
        self._progress.over()
        self._cadence.spent(seconds, self._sampling)
        if self._sampling:
            self._guard.run("frame", self._finish, step, seconds)
        self._seen += 1
        self._prepare()

    def _prepare(self) -> None:
        self._sampling = self._cadence.advance() and "frame" not in self._guard.lost
        self._clipping.begin(self._sampling)
        self._scaling.active = self._sampling
        if self._sampling:
            self._modules.begin()

    def _refresh(self) -> None:
        names = zip(self._modules.names, self._modules.kinds, strict=True)
        self._parameters.refresh(self._model(), names, self._alive())

    def _measure_before(self, share: int, optimizer: Optimizer | None) -> None:
        if capturing():
            return
        self._refresh()
        scale, found_inf = (getattr(optimizer, name, None) for name in ("grad_scale", "found_inf"))
        self._parameters.before(share, scale, found_inf)
        self._guard.run("equal_units", self._parameters.compare, share)

    def _measure_after(self, share: int, optimizer: Optimizer | None, closure: bool) -> None:
        if capturing():
            return
        if closure:  # it ran forward and backward inside the optimizer's step
            self._parameters.measure_gradients(share)
        if optimizer is not None:
            self._parameters.after(share)

    def _finish(self, step: int, seconds: float) -> None:
        activations = self._modules.end()
        if capturing():
            return
        norms = self._parameters.taken()
        numbers, tensors = self._scalars(seconds)
        values = HostCopy(
            [
                *activations.values,
                *(tensor for part in norms for tensor in part.tensors()),
                *tensors.values(),
            ]
        )
        known = self._known_layout(step, activations)
        now, tags = time.time(), tuple(tensors)
        more = self._audit()
        frame = Frame(step, now, known, activations, norms, values, numbers, tags, self._look, more)
        self._writer.offer(frame)

    def _audit(self) -> dict[str, tuple[int, int, bytes]]:
        """What has been found out about the model since last time."""
        if self._inspection is None or self._inspection.version == self._inspected:
            return {}
        self._inspected = self._inspection.version
        return {TABLE: self._inspection.matrix()}

    def _scalars(self, seconds: float) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Tag -> number, and tag -> 0-d tensor that may be on a device."""
        numbers, tensors = self._scaling.scalars()
        if self._rank:
            return {}, {}  # what is the same on all ranks is said once, by the first
        rates, more = learning_rates(self._alive())
        numbers.update(rates)
        numbers.update(decay_per_step(self._alive()))
        tensors.update(more)
        counts, more = self._progress.scalars(ref() for ref in self._optimizers)
        numbers.update(counts)
        tensors.update(more)
        tensors.update(self._parameters.compared())
        if self._guess is not None:
            tensors.update(self._guess.taken())
        before = self._clipping.norm()
        if before is not None:
            tensors[BEFORE_CLIPPING] = before
        if not math.isnan(seconds):
            numbers["health/step_seconds"] = seconds
        if self._copies:
            numbers[STEPS_SEEN] = float(self._seen)
        if self._writer.dropped:
            numbers["health/dropped_records"] = float(self._writer.dropped)
        return numbers, tensors

    def _known_layout(self, step: int, activations: Activations) -> Layout:
        hooks = self._modules.said(len(activations.rows) > 0, step, UNSEEN)
        audit = self._inspection
        tables = self._modules.version, self._parameters.version, audit.version if audit else 0
        versions = *tables, len(self._guard.lost), hooks
        if self._layout is None or versions != self._versions:
            if tables != self._versions[:3]:
                self._generation += 1
            self._versions = versions
            known = {**self._facts, **self._guard.lost, **({"activations": hooks} if hooks else {})}
            more = {TABLE: audit.table()} if audit else {}
            self._layout = layout(
                self._generation, self._modules, self._parameters.parameters, known, more
            )
        return self._layout

    def _look(self, grad_norm: float, nonfinite: bool) -> None:
        if self._unrest.sees(grad_norm, nonfinite):
            self._cadence.alarm()

    def _alive(self) -> list[Optimizer]:
        return [found for found in (ref() for ref in self._optimizers) if found is not None]

    def _number(self, optimizer: object) -> int:
        found = (i for i, ref in enumerate(self._optimizers) if ref() is optimizer)
        return next(found, -1) if self._guard.open else -1

    def _step(self, step: int) -> None:
        step = operator.index(step)
        if self._optimizers:
            self._progress.told()
            self._next = step + 1
        elif step >= self._next:
            self._next = step
            self._on_step(0, None, (), {})
            self._on_stepped(0, None, (), {})

    def _log(self, values: Mapping[str, Number], step: int | None) -> None:
        if step is not None and not self._optimizers and step >= self._next:
            self._step(step)
        if self._rank:
            return  # as many curves of one name as ranks would be read as one
        at = max(0, self._next - 1) if step is None else operator.index(step)
        numbers, tags, tensors = {}, [], []
        for tag, value in values.items():
            if isinstance(value, Tensor):
                tags.append(tag)
                tensors.append(value.detach().reshape(()))
            else:
                numbers[tag] = float(value)
        copy = HostCopy(tensors, torch.float64)
        self._writer.offer(Scalars(at, time.time(), numbers, tuple(tags), copy))


def _died(kind: type[BaseException] | None) -> bool:
    """Whether a run that left with such an exception has failed; Ctrl-C and exit are decisions."""
    return kind is not None and issubclass(kind, Exception)
