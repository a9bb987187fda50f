"""What the header says about the run besides rows and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from monitor.hook.modules import kind_of
from monitor.hook.shards import world_size

_SETTINGS = (
    "lr", "betas", "momentum", "nesterov", "weight_decay", "eps", "amsgrad", "maximize", "fused",
)  # fmt: skip


def facts(model: nn.Module, optimizers: Sequence[Optimizer], rank: int) -> dict[str, str]:
    """Facts as text; ``parameters`` counts elements, ``trainable_parameters`` those not frozen.

    ``optimizer.<setting>`` is that of the first parameter group, ``optimizer.pg1.<setting>`` where
    the second has another; a second optimizer's stand under ``optimizer1``.
    """
    every = [p for p in model.parameters() if not nn.parameter.is_lazy(p)]
    found = {
        "torch": torch.__version__,
        "model": kind_of(model),
        "parameters": str(sum(p.numel() for p in every)),
        "trainable_parameters": str(sum(p.numel() for p in every if p.requires_grad)),
        "device": str(every[0].device) if every else "none",
        "dtype": str(every[0].dtype).removeprefix("torch.") if every else "none",
        "rank": str(rank),
        "world_size": str(world_size()),
    }
    for i, optimizer in enumerate(optimizers):
        found.update(_settings(f"optimizer{i or ''}", optimizer))
    return found


def learning_rates(
    optimizers: Sequence[Optimizer],
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Learning rate of each parameter group: tag -> number, or 0-d tensor if on a device.

    ``health/lr`` if there is one group, else ``health/lr/pg0``, ..., through all optimizers.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    numbers, tensors = dict[str, float](), dict[str, torch.Tensor]()
    for i, group in enumerate(groups):
        rate = group.get("lr")
        tag = "health/lr" if len(groups) == 1 else f"health/lr/pg{i}"
        if isinstance(rate, torch.Tensor) and rate.device.type != "cpu":
            tensors[tag] = rate.detach().reshape(()).clone()
        elif rate is not None:
            numbers[tag] = float(rate)
    return numbers, tensors


def _settings(prefix: str, optimizer: Optimizer) -> Iterator[tuple[str, str]]:
    groups = optimizer.param_groups
    first = {**optimizer.defaults, **(groups[0] if groups else {})}
    yield prefix, type(optimizer).__name__
    yield f"{prefix}.groups", str(len(groups))
    for name in _SETTINGS:
        value = _text(first, name)
        if value is not None:
            yield f"{prefix}.{name}", value
        for j, group in enumerate(groups[1:], 1):
            other = _text(group, name)
            if other is not None and other != value:
                yield f"{prefix}.pg{j}.{name}", other


def _text(settings: Mapping[str, Any], name: str) -> str | None:
    value = settings.get(name)
    # Reading a tensor's value could wait for its device.
    return None if value is None or isinstance(value, torch.Tensor) else str(value)
