"""Units of a layer that are all alike: the same weights, the same gradient, and so for ever.

Looked at in the first steps, when gradients are there. Equal weights alone are no fault: a last
layer or a branch may begin at zero, and its units part with the first step. Where their gradients
are equal as well, every step leaves them equal; and where the weights are a constant other than
zero and biases differ, the gradients are nearly equal, and the units part too slowly to matter.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

TAG = "health/layers_of_equal_units"

UNITS, INPUTS = 16, 4096
"""So many units of a layer, and of each so many weights, stand for all."""

COMPARED = 3
"""Looks at the start: a layer of zeros passes its gradient on from the second step on only."""

ALIKE = 1e-5
"""Parts of the greatest by which sums in another order differ."""

NEARLY = 0.7
"""Part of the gradient's square root of squares that is not common to all units: 0.01 to 0.6 of
hidden layers of constants with random biases, 1 of a last layer in a classification."""


def of_equal_units(pairs: Iterable[tuple[str, Tensor, Tensor]]) -> Tensor | None:
    """0-d: how many of these layers have units that are all alike; None of no layers.

    ``pairs``: kind of the module, weight and gradient. Waits for no device.
    """
    found = [
        _alike(weight) & (_alike(grad) | (weight != 0).any() & _nearly(grad)) & (grad != 0).any()
        for kind, weight, grad in pairs
        if _counts(kind, weight) and weight.shape == grad.shape
    ]
    return torch.stack([one.to(found[0].device) for one in found]).sum() if found else None


def _counts(kind: str, weight: Tensor) -> bool:
    """Linear layers and convolutions of several units; not each group of a grouped one."""
    named = "linear" in kind.lower() or "conv" in kind.lower()
    return named and weight.ndim >= 2 and weight.shape[0] > 1 and weight[0].numel() > 1


def _rows(values: Tensor) -> Tensor:
    return values[:UNITS].flatten(1)[:, :INPUTS]


def _alike(values: Tensor) -> Tensor:
    """Whether the first rows are all as the very first; NaN is like nothing."""
    rows = _rows(values)
    return (rows - rows[:1]).abs().max() <= ALIKE * rows.abs().max()


def _nearly(values: Tensor) -> Tensor:
    """Whether the first rows have most of what they are in common."""
    rows = _rows(values).float()
    nearly: Tensor = (rows - rows.mean(dim=0)).norm() <= NEARLY * rows.norm()
    return nearly
