"""Layer statistics from Ignite: a handler that is attached to a trainer.

::

    HealthHandler(model, optimizer).attach(trainer)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from monitor.adapters.guard import Watched, harmless, log

try:
    import ignite.distributed as idist
    from ignite.engine import Engine, Events
    from ignite.handlers.tensorboard_logger import TensorboardLogger
except ImportError as error:
    raise ImportError("monitor.adapters.ignite needs Ignite: pip install pytorch-ignite") from error

__all__ = ["HealthHandler"]


class HealthHandler:
    """Streams statistics of every layer while an Ignite trainer runs.

    ``optimizer``: the one whose steps train ``model``; without it (or with several) an iteration
    is a step, and updates of weights are not known.
    ``logdir``: default, the directory of a ``TensorboardLogger`` that is attached to the trainer.
    ``every``, ``budget``: see :func:`monitor.watch`.
    ``log_scalars``: write the trainer's output and metrics, and metrics of the evaluators, too;
    default: only if no ``TensorboardLogger`` is attached to the trainer.

    A step has the number of its iteration, as in Ignite's own logs.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        logdir: str | os.PathLike[str] | None = None,
        *,
        every: int = 10,
        budget: float = 0.01,
        log_scalars: bool | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.logdir = logdir
        self.every = every
        self.budget = budget
        self.log_scalars = log_scalars
        self._watched = Watched()
        self._counting: Any = None
        self._forward = False
        self._iteration = 0
        self._next = 0

    def attach(self, trainer: Engine, evaluators: Mapping[str, Engine] | None = None) -> None:
        """Listen to ``trainer``; ``evaluators``: by name, engines whose metrics are of interest."""
        trainer.add_event_handler(Events.STARTED, self._on_started)
        trainer.add_event_handler(Events.ITERATION_STARTED, self._on_iteration_started)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._on_iteration_completed)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._on_metrics, "train")
        trainer.add_event_handler(Events.TERMINATE | Events.COMPLETED, self._on_completed)
        trainer.add_event_handler(Events.EXCEPTION_RAISED, self._on_exception)
        for name, evaluator in (evaluators or {}).items():
            evaluator.add_event_handler(Events.COMPLETED, self._on_metrics, name)

    @harmless
    def _on_started(self, engine: Engine) -> None:
        self._stop_counting()
        tensorboard = _tensorboard_directory(engine)
        logdir = self.logdir or tensorboard
        if logdir is None:
            if idist.get_rank() == 0:  # the others have no logger, and need none
                log.warning("no layer statistics: give HealthHandler a logdir or attach a logger")
            return
        self._forward = tensorboard is None if self.log_scalars is None else self.log_scalars
        self._iteration = engine.state.iteration
        self._next = self._iteration + 1
        self._watched.start(
            self.model,
            self.optimizer,
            logdir=logdir,
            every=self.every,
            budget=self.budget,
            rank=idist.get_rank(),
            first_step=self._next,
        )
        if self.optimizer is not None:
            self._counting = self.optimizer.register_step_post_hook(self._on_step)

    def _on_step(self, *_: Any) -> None:
        self._next += 1

    @harmless
    def _on_iteration_started(self, engine: Engine) -> None:
        self._iteration = engine.state.iteration
        # Iterations without a step (accumulation) are passed over. Never back: where an iteration
        # has several steps, their numbers run ahead of it.
        if self.optimizer is not None and self._next < self._iteration:
            self._next = self._iteration
            self._watched.health.step(self._next - 1)

    @harmless
    def _on_iteration_completed(self, engine: Engine) -> None:
        if self.optimizer is None:
            self._watched.health.step(self._iteration)
        if self._forward:
            output = engine.state.output
            values = output if isinstance(output, Mapping) else {"loss": output}
            self._log("train", values)

    @harmless
    def _on_metrics(self, engine: Engine, name: str) -> None:
        if self._forward:
            self._log(name, engine.state.metrics)

    @harmless
    def _on_completed(self, engine: Engine) -> None:
        self._stop_counting()
        self._watched.end()

    def _on_exception(self, engine: Engine, error: BaseException) -> None:
        self._fail(error)
        if not _is_handled(engine):
            raise error

    @harmless
    def _fail(self, error: BaseException) -> None:
        self._stop_counting()
        self._watched.fail(error)

    def _stop_counting(self) -> None:
        if self._counting is not None:
            self._counting.remove()
            self._counting = None

    def _log(self, name: str, values: Mapping[str, Any]) -> None:
        numbers = {f"{name}/{key}": v for key, v in values.items() if _is_number(v)}
        if numbers:
            self._watched.health.log(numbers, self._iteration)


def _is_number(value: object) -> bool:
    return value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, Real)


def _handlers(engine: Engine) -> list[tuple[Any, Any, tuple[Any, ...]]]:
    """(event, handler, its arguments) of all that is attached; Ignite has no public way to ask."""
    return [
        (event, handler, args)
        for event, handlers in getattr(engine, "_event_handlers", {}).items()
        for handler, args, _ in handlers
    ]


def _tensorboard_directory(engine: Engine) -> str | None:
    """The directory of the first TensorboardLogger that is attached to ``engine``."""
    for _, _, args in _handlers(engine):
        for logger in args:
            if isinstance(logger, TensorboardLogger):
                writer = logger.writer
                return str(writer.log_dir if hasattr(writer, "log_dir") else writer.logdir)
    return None


def _is_handled(engine: Engine) -> bool:
    """Whether anyone but us listens to exceptions: what is listened to, Ignite takes for handled.

    Where only we do, the exception has to go on as if we did not.
    """
    return any(
        event == Events.EXCEPTION_RAISED
        and not isinstance(getattr(handler, "__self__", None), HealthHandler)
        for event, handler, _ in _handlers(engine)
    )
