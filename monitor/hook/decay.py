"""How much of a weight its decay takes at each step, which is known from the optimizer's settings.

Rate times decay where the decay is apart from the gradient (AdamW), and that over what momentum
leaves where it is added to the gradient of plain SGD. Where it is added to a gradient that is then
divided by its own size (Adam, RMSprop) a step is as long as ever, whatever the decay: not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import SGD, Optimizer

TAG = "health/decay_per_step"

_DECOUPLED = ("adamw", "lion", "muon", "adafactor", "sgdw", "lamb")
"""Parts of the names of optimizers, of whatever package, that decay apart from the gradient."""


def decay_per_step(optimizers: Iterable[Optimizer]) -> dict[str, float]:
    """Tag -> the greatest part that a step takes of some group's weights; nothing if unknown."""
    found = [
        taken
        for optimizer in optimizers
        for group in optimizer.param_groups
        if group["params"] and (taken := _taken(optimizer, group)) is not None
    ]
    return {TAG: max(found)} if found else {}


def _taken(optimizer: Optimizer, group: Mapping[str, Any]) -> float | None:
    rate, decay = group.get("lr"), group.get("weight_decay")
    if rate is None or decay is None or isinstance(rate, Tensor) or isinstance(decay, Tensor):
        return None  # reading a tensor's value could wait for its device
    name = type(optimizer).__name__.lower()
    if group.get("decoupled_weight_decay") or any(part in name for part in _DECOUPLED):
        return float(rate) * float(decay)
    if isinstance(optimizer, SGD):
        left = 1.0 - float(group.get("momentum") or 0.0)
        return float(rate) * float(decay) / left if left > 0 else None
    return None
