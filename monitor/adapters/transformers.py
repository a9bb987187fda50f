"""Layer statistics from the Hugging Face Trainer: a ``TrainerCallback``.

::

    trainer = transformers.Trainer(model, args, ..., callbacks=[HealthCallback()])
"""

from __future__ import annotations

import os
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from monitor.adapters.guard import Watched, harmless

try:
    from transformers import TrainerCallback
    from transformers.integrations import rewrite_logs
except ImportError as error:
    raise ImportError(
        "monitor.adapters.transformers needs transformers and accelerate: "
        'pip install "transformers[torch]"'
    ) from error

__all__ = ["HealthCallback"]


class HealthCallback(TrainerCallback):
    """Streams statistics of every layer into the log directory of the trainer.

    ``logdir``: default, where the trainer's TensorBoard callback writes, or else a new directory
    in ``output_dir/runs``, named as that callback would name it.
    ``every``, ``budget``: see :func:`monitor.watch`.
    ``log_scalars``: write what the trainer logs (loss, learning rate, evaluation) too; default:
    only if TensorBoard does not.

    Steps are numbered as in the trainer's own logs: the first one is number 1. The trainer does
    not tell callbacks of exceptions: the hook stays until the process ends or trains again.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str] | None = None,
        *,
        every: int = 10,
        budget: float = 0.01,
        log_scalars: bool | None = None,
    ) -> None:
        self.logdir = logdir
        self.every = every
        self.budget = budget
        self.log_scalars = log_scalars
        self._watched = Watched()
        self._forward = False
        self._since = int(time.time())

    @harmless
    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The trainer has been made; no event file of its training is older."""
        self._since = int(time.time())

    @harmless
    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Model and optimizer are ready, a checkpoint has been restored."""
        found = _tensorboard_directory(args, self._since)
        self._forward = found is None if self.log_scalars is None else self.log_scalars
        self._watched.start(
            model,
            _innermost(kwargs.get("optimizer")),
            logdir=self.logdir or found or _new_directory(args),
            every=self.every,
            budget=self.budget,
            rank=args.process_index,
            first_step=state.global_step + 1,
        )

    @harmless
    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step is over, its gradients are still there, and the trainer has not counted it yet."""
        # The hook counts steps too, but not those that a loss scaler skips.
        self._watched.health.step(state.global_step + 1)

    @harmless
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """The trainer logs something."""
        if self._forward and logs and state.is_world_process_zero:
            scalars = {k: v for k, v in rewrite_logs(logs).items() if isinstance(v, int | float)}
            self._watched.health.log(scalars, state.global_step)

    @harmless
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Training is over."""
        self._watched.end()


def _innermost(optimizer: Any) -> Any:
    """The optimizer inside Accelerate's, which is one by type only: it cannot be hooked."""
    while isinstance(getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = optimizer.optimizer
    return optimizer


def _tensorboard_directory(args: Any, since: int) -> Path | None:
    """Where the TensorBoard callback, which no callback gets to see, has begun a file ``since``.

    Its file is called ``events.out.tfevents.<seconds>.<host>.<process>...``.
    """
    roots = [
        os.environ.get("TENSORBOARD_LOGGING_DIR"),
        getattr(args, "logging_dir", None),  # until transformers 5
        Path(args.output_dir) / "runs",
    ]
    found = []
    for root in {Path(root).expanduser() for root in roots if root}:
        for path in root.rglob("events.out.tfevents.*"):
            seconds, _, process = path.name.removeprefix("events.out.tfevents.").partition(".")
            ours = process.startswith(f"{socket.gethostname()}.{os.getpid()}.")
            if seconds.isdigit() and int(seconds) >= since:
                found.append((ours, int(seconds), path.parent))
    return max(found)[2] if found else None


def _new_directory(args: Any) -> Path:
    name = f"{datetime.now():%b%d_%H-%M-%S}_{socket.gethostname()}"
    return Path(args.output_dir) / "runs" / name
