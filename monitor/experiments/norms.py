"""Taking the normalisation layers out of a copy."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

_BY_NAME = re.compile(r"(batch|layer|group|instance|rms)_?norm", re.IGNORECASE)
"""Classes of other libraries, such as LlamaRMSNorm or T5LayerNorm."""


def is_norm(module: nn.Module) -> bool:
    """Whether the module normalises activations (weight norm is something else)."""
    if isinstance(module, (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)):
        return True
    leaf = not any(True for _ in module.children())
    return leaf and _BY_NAME.search(type(module).__name__) is not None


def bypass(model: nn.Module, keep: Collection[str] = ()) -> list[str]:
    """Make every normalisation layer of ``model`` but those in ``keep`` hand its input on, scaled
    and shifted by the weight and bias it has; the names of those layers.

    The module stays where it is, with its attributes: others read them (``norm1.eps``).
    """
    names = []
    for name, module in model.named_modules():
        if is_norm(module) and name not in keep:
            module.forward = functools.partial(_affine, module)
            names.append(name)
    return names


def _affine(module: nn.Module, x: Tensor, *_: object, **__: object) -> Tensor:
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    by_channel = isinstance(module, (_BatchNorm, _InstanceNorm, nn.GroupNorm))
    if isinstance(weight, Tensor):
        x = x * _shaped(weight, x, by_channel=by_channel)
    if isinstance(bias, Tensor):
        x = x + _shaped(bias, x, by_channel=by_channel)
    return x


def _shaped(values: Tensor, x: Tensor, *, by_channel: bool) -> Tensor:
    """``values`` [C] ready to be multiplied with ``x`` [N, C, ...]; others as they are."""
    if by_channel and values.ndim == 1 and x.ndim > 2:
        return values.reshape(-1, *(1,) * (x.ndim - 2))
    return values


def bypass_batch_statistics(model: nn.Module) -> None:
    """Bypass those batch norms that use the batch's statistics even in evaluation mode."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            module.forward = functools.partial(_affine, module)  # type: ignore[method-assign]
