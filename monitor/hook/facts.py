"""What the header says about the run besides rows and columns."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

_SETTINGS = (
    "lr", "betas", "momentum", "nesterov", "weight_decay", "eps", "amsgrad", "maximize", "fused",
)  # fmt: skip


def facts(model: nn.Module, optimizer: Optimizer | None, rank: int) -> dict[str, str]:
    """Facts as text; ``parameters`` counts elements, ``trainable_parameters`` those not frozen."""
    every = [p for p in model.parameters() if not nn.parameter.is_lazy(p)]
    found = {
        "torch": torch.__version__,
        "model": type(model).__name__,
        "parameters": str(sum(p.numel() for p in every)),
        "trainable_parameters": str(sum(p.numel() for p in every if p.requires_grad)),
        "device": str(every[0].device) if every else "none",
        "dtype": str(every[0].dtype).removeprefix("torch.") if every else "none",
        "rank": str(rank),
        "world_size": str(_world_size()),
    }
    if optimizer is not None:
        found["optimizer"] = type(optimizer).__name__
        first = optimizer.param_groups[0] if optimizer.param_groups else {}
        found["optimizer.groups"] = str(len(optimizer.param_groups))
        for name in _SETTINGS:
            value = first.get(name, optimizer.defaults.get(name))
            # Reading a tensor's value could wait for its device.
            if value is not None and not isinstance(value, torch.Tensor):
                found[f"optimizer.{name}"] = str(value)
    return found


def _world_size() -> int:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1
