"""The training side: streams layer statistics into an event file beside the run's others.

Needs torch and nothing else; of this project it imports only the formats.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from monitor.hook.handle import Handle, Silent
from monitor.hook.layout import unwrapped
from monitor.hook.replica import Replica, comparable
from monitor.hook.session import Session
from monitor.hook.shards import sharded

__all__ = ["Handle", "watch"]


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    logdir: str | os.PathLike[str],
    every: int = 10,
    budget: float = 0.01,
    rank: int | None = None,
    first_step: int = 0,
    activations: bool = True,
) -> Handle:
    """Stream statistics of every layer of ``model`` into an event file in ``logdir``.

    ::

        health = monitor.watch(model, optimizer, logdir=writer.log_dir)

    Training is neither changed nor held up: outputs, gradients, weights and random numbers stay
    the same to the bit, nothing waits for a device or a disk, and no error of ours gets out.
    The first 20 optimizer steps are looked at, then every ``every``-th, and the next few whenever
    something turns non-finite or the gradient jumps. ``every`` grows by itself where looking
    would take more than ``budget``, a share of the step time (``math.inf``: never), except that
    ``every=1`` is taken at its word: there is then no other step to compare with.
    ``health.close()``, the end of a ``with`` block or of the process writes what is left.

    Call it once the model is on its device and has been sharded (``fully_shard``), and before
    ``torch.compile`` has run it: a compiled forward pass skips hooks, and only parameters and
    gradients are seen; the stream says so.

    ``model``: several models are one ``nn.ModuleDict`` of them.
    ``optimizer``: its steps are counted from ``first_step``; gradients are those it gets (after
    clipping). Of several, the last one ends a step. Without one, say ``health.step(n)`` when step
    ``n`` is over, before gradients are zeroed; updates are then unknown.
    ``rank``: default from ``torch.distributed``, else from ``RANK``. Rank 0 tells everything; the
    others (where ``torch.distributed`` is up, otherwise they are silent) write one number now and
    then, by which the daemon sees whether their weights are still the same. Where parameters are
    sharded (FSDP2), every rank writes a file about its own pieces, without asking the others, and
    the daemon puts them together.
    ``activations=False``: look at parameters and gradients only.

    Raises TypeError or ValueError for arguments that make no sense, and nothing afterwards.
    """
    place = Path(logdir)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    own = _rank() if rank is None else rank
    given = optimizer if isinstance(optimizer, Sequence) else [optimizer]
    optimizers = [found for found in map(_plain, given) if found is not None]
    if own != 0 and not sharded(unwrapped(model)):
        if not comparable(optimizers, own):
            return Silent()
        return Replica(
            model,
            optimizers,
            logdir=place,
            every=every,
            budget=budget,
            rank=own,
            first_step=first_step,
        )
    return Session(
        model,
        optimizers,
        logdir=place,
        every=every,
        budget=budget,
        rank=own,
        first_step=first_step,
        activations=activations,
    )


def _plain(optimizer: object) -> Optimizer | None:
    """The torch optimizer inside wrappers such as Accelerate's, which keep it as ``optimizer``.

    A wrapper may call itself an ``Optimizer``; one that was never made as such has no hooks.
    """
    found: object = optimizer
    while found is not None and not (
        isinstance(found, Optimizer) and hasattr(found, "_optimizer_step_pre_hooks")
    ):
        if not hasattr(found, "optimizer"):
            raise TypeError(
                f"optimizer must be a torch.optim.Optimizer, not {type(optimizer).__name__}"
            )
        found = found.optimizer
    return found


def _rank() -> int:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank()
    text = os.environ.get("RANK", "0")
    return int(text) if text.isdigit() else 0
