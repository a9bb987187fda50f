"""Layer statistics from Lightning: a callback for ``lightning.pytorch`` or ``pytorch_lightning``.

::

    trainer = lightning.Trainer(callbacks=[HealthCallback()])
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from monitor.adapters.guard import Watched, harmless

__all__ = ["HealthCallback"]

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def _callback() -> Any:
    """The class of callbacks of the package in use: loaded already, or else the first there is."""
    loaded = [sys.modules[name] for name in _PACKAGES if sys.modules.get(name)]
    for name in _PACKAGES if not loaded else ():
        try:
            loaded = [importlib.import_module(name)]
            break
        except ImportError:
            continue
    if not loaded:
        raise ImportError("monitor.adapters.lightning needs Lightning: pip install lightning")
    # They are twins that do not know each other: with both around, be a callback of both.
    return type("Callback", tuple(module.Callback for module in loaded), {})


_Callback: Any = _callback()


class HealthCallback(_Callback):
    """Streams statistics of every layer into the log directory of the trainer.

    ``logdir``: default, the directory of its ``TensorBoardLogger``, or else ``trainer.log_dir``.
    ``every``, ``budget``: see :func:`monitor.watch`.
    ``log_scalars``: write what ``self.log`` gives to loggers too, and the loss if it has none;
    default: only if there is no ``TensorBoardLogger``.

    Steps are numbered as in Lightning's own logs. With several optimizers (manual optimisation)
    a step is a batch, and updates of weights are not known.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str] | None = None,
        *,
        every: int = 10,
        budget: float = 0.01,
        log_scalars: bool | None = None,
    ) -> None:
        super().__init__()
        self.logdir = logdir
        self.every = every
        self.budget = budget
        self.log_scalars = log_scalars
        self._watched = Watched()
        self._forward = False
        self._single = True
        self._next = 0
        self._known: dict[str, Any] = {}
        self._written: dict[str, int] = {}

    @harmless
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Optimizers exist, weights are where they will stay, a checkpoint has been restored."""
        tensorboard = _tensorboard_directory(trainer)
        # Ranks may have counted versions differently: as in trainer.log_dir, the first decides.
        found = trainer.strategy.broadcast(tensorboard) if tensorboard else trainer.log_dir
        self._forward = not tensorboard if self.log_scalars is None else self.log_scalars
        self._single = len(trainer.optimizers) == 1
        self._next = _steps_done(trainer, self._single)
        self._known, self._written = {}, {}
        self._watched.start(
            pl_module,
            trainer.optimizers[0] if self._single else None,
            logdir=self.logdir or found or trainer.default_root_dir,
            every=self.every,
            budget=self.budget,
            rank=trainer.global_rank,
            first_step=self._next,
        )

    @harmless
    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One batch is over: a step, unless gradients are being accumulated."""
        done = _steps_done(trainer, self._single)
        if done == self._next:
            return
        self._next = done
        # The hook counts steps too, but not those that a loss scaler skips.
        self._watched.health.step(done - 1)
        often = trainer.log_every_n_steps
        if self._forward and often and done % often == 0:
            self._log(trainer, outputs)

    @harmless
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Metrics of the epoch are there."""
        if self._forward:
            self._log(trainer)

    @harmless
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Metrics of the validation are there."""
        if self._forward and not trainer.sanity_checking:
            self._log(trainer)

    @harmless
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Training is over."""
        self._watched.end()

    @harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Training has died, or was interrupted."""
        self._watched.fail(exception)

    def _log(self, trainer: Any, outputs: Any = None) -> None:
        """Write the metrics that are new; on all ranks, since computing them may need all."""
        step = max(0, self._next - 1)
        metrics = dict(trainer.logged_metrics)
        fresh = {
            name: value
            for name, value in metrics.items()
            if value is not self._known.get(name) and self._written.get(name) != step
        }
        self._known = metrics
        self._written.update(dict.fromkeys(fresh, step))
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if loss is not None and not any("loss" in name for name in fresh):
            fresh["train/loss"] = loss
        if fresh and trainer.is_global_zero:
            self._watched.health.log(fresh, step)


def _steps_done(trainer: Any, single: bool) -> int:
    """Number of steps that are over; the number of the next one, as Lightning's loggers count."""
    done: int = trainer.global_step if single else trainer.fit_loop.total_batch_idx + 1
    return done


def _tensorboard_directory(trainer: Any) -> str | None:
    """The directory of the first TensorBoardLogger, of whichever package."""
    for logger in trainer.loggers:
        if any(base.__name__ == "TensorBoardLogger" for base in type(logger).__mro__):
            return str(logger.log_dir)
    return None
