"""The handle that ``monitor.watch`` returns, and the course of one step."""

from __future__ import annotations

import atexit
import logging
import math
import operator
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from monitor.hook.cadence import Cadence, Unrest
from monitor.hook.callbacks import Callback
from monitor.hook.facts import facts
from monitor.hook.handle import Number
from monitor.hook.layout import Layout, layout, unwrapped
from monitor.hook.modules import ModuleWatch
from monitor.hook.parameters import Norms, ParameterWatch
from monitor.hook.records import Frame, Scalars
from monitor.hook.tensors import HostCopy, capturing
from monitor.hook.writer import Writer, file_name

log = logging.getLogger("monitor.hook")


class Session:
    """Watches one model until closed; keeps neither the model nor its parameters alive.

    Everything that training calls is guarded: an error of ours is logged once, switches off the
    part that failed, and goes no further.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None,
        *,
        logdir: Path,
        every: int,
        budget: float,
        rank: int,
        first_step: int,
    ) -> None:
        inner = unwrapped(model)
        self._cadence = Cadence(every, budget)
        self._unrest = Unrest()
        self._model = weakref.ref(inner)
        self._optimizer = None if optimizer is None else weakref.ref(optimizer)
        self._parameters = ParameterWatch()
        self._norms = Norms()
        self._facts = facts(inner, optimizer, rank)
        self._layout: Layout | None = None
        self._versions = (-1, -1, -1)
        self._generation = 0
        self._next = first_step
        self._last_time = math.nan
        self._lost: dict[str, str] = {}
        self._said: set[str] = set()
        self._sampling = False
        self._open = True
        self._writer = Writer(logdir / file_name(time.time()))
        self._modules = ModuleWatch(inner, self._say_lost)
        self._handles = []
        if optimizer is not None:
            before = optimizer.register_step_pre_hook(Callback(self._on_step))
            after = optimizer.register_step_post_hook(Callback(self._on_stepped))
            self._handles = [before, after]
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
        self._guarded("log", self._log, values, step)

    def step(self, step: int) -> None:
        """Say that step number ``step`` is over; the next one is ``step + 1``.

        Without an optimizer this is what ends a step. With one, which counts by itself, it sets
        the number, e.g. after resuming from a checkpoint.
        """
        self._guarded("log", self._step, step)

    def close(self) -> None:
        """Take the hooks off, write what is queued and mark the run as over. Twice is once."""
        self._close(finished=True)

    def _at_exit(self) -> None:
        # Python keeps the exception that ended a script: such a run is not over, it has died,
        # and the monitor should wonder at its silence.
        self._close(finished=not _died(getattr(sys, "last_type", None)))

    def _close(self, finished: bool) -> None:
        if not self._open:
            return
        self._open = False
        atexit.unregister(self._at_exit)
        self._modules.remove()
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

    def _on_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if self._sampling and self._open:
            self._guarded("parameters", self._measure_before, optimizer)

    def _on_stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._guarded("steps", self._end_step, optimizer, args, kwargs)

    def _end_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        now = time.perf_counter()
        seconds, self._last_time = now - self._last_time, now
        step, self._next = self._next, self._next + 1
        self._cadence.spent(seconds, self._sampling)
        if self._sampling:
            late = any(map(callable, args)) or callable(kwargs.get("closure"))
            self._guarded("frame", self._finish, optimizer, step, seconds, late)
        self._prepare()

    def _prepare(self) -> None:
        self._sampling = self._cadence.advance() and "frame" not in self._lost
        if self._sampling:
            self._modules.begin()

    def _measure_before(self, optimizer: Optimizer | None) -> None:
        if capturing():
            return
        names = zip(self._modules.names, self._modules.kinds, strict=True)
        self._parameters.refresh(self._model(), names)
        self._parameters.before(getattr(optimizer, "grad_scale", None))

    def _measure_after(self, optimizer: Optimizer | None, late: bool) -> None:
        if late:  # a closure ran forward and backward inside the optimizer's step
            self._parameters.measure_gradients()
        self._norms = self._parameters.after() if optimizer else self._parameters.unchanged()

    def _finish(self, optimizer: Optimizer | None, step: int, seconds: float, late: bool) -> None:
        activations = self._modules.end()
        if capturing():
            return
        self._guarded("parameters", self._measure_after, optimizer, late)
        norms, self._norms = self._norms, Norms()
        scalars = {} if optimizer is None else _learning_rates(optimizer)
        if not math.isnan(seconds):
            scalars["health/step_seconds"] = seconds
        if self._writer.dropped:
            scalars["health/dropped_records"] = float(self._writer.dropped)
        values = HostCopy([*activations.tensors(), *norms.tensors()])
        frame = Frame(
            step, time.time(), self._known_layout(), activations, norms, values, scalars, self._look
        )
        self._writer.offer(frame)

    def _known_layout(self) -> Layout:
        versions = (self._modules.version, self._parameters.version, len(self._lost))
        if self._layout is None or versions != self._versions:
            if versions[:2] != self._versions[:2]:
                self._generation += 1
            self._versions = versions
            known = {**self._facts, **self._lost}
            if not self._modules.order:
                known["activations"] = "unavailable: no forward hook has fired (compiled model?)"
            self._layout = layout(
                self._generation, self._modules, self._parameters.parameters, known
            )
        return self._layout

    def _look(self, grad_norm: float, nonfinite: bool) -> None:
        if self._unrest.sees(grad_norm, nonfinite):
            self._cadence.alarm()

    def _step(self, step: int) -> None:
        step = operator.index(step)
        if self._optimizer is not None:
            self._next = step + 1
        elif step >= self._next:
            self._next = step
            self._on_step(None, (), {})
            self._on_stepped(None, (), {})

    def _log(self, values: Mapping[str, Number], step: int | None) -> None:
        if step is not None and self._optimizer is None and step >= self._next:
            self._step(step)
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

    # --- safety -----------------------------------------------------------------------------

    def _guarded(self, part: str, action: Callable[..., None], *args: Any) -> None:
        """Run a part of ours so that nothing of it reaches training; a failed part stays off."""
        if not self._open or part in self._lost:
            return
        try:
            with torch.no_grad():
                action(*args)
        except Exception as error:  # nothing of ours may end a training run
            text = f"{type(error).__name__}: {error}"
            if part == "log":  # the caller's values, not a state of ours: the next may be good
                if text not in self._said:
                    self._said.add(text)
                    log.warning("could not log: %s", text)
                return
            self._lost[part] = text
            log.warning("%s statistics are off, training goes on: %s", part, text)

    def _say_lost(self, text: str) -> None:
        self._lost[f"lost.{len(self._lost)}"] = text
        log.warning("not looked at any more, training goes on: %s", text)


def _died(kind: type[BaseException] | None) -> bool:
    """Whether a run that left with such an exception has failed; Ctrl-C and exit are decisions."""
    return kind is not None and issubclass(kind, Exception)


def _learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """The learning rate of each group as it was for this step; one held on a device is left out."""
    groups = optimizer.param_groups
    rates = {}
    for i, group in enumerate(groups):
        rate = group.get("lr")
        if rate is None or (isinstance(rate, Tensor) and rate.device.type != "cpu"):
            continue
        rates["health/lr" if len(groups) == 1 else f"health/lr/pg{i}"] = float(rate)
    return rates
