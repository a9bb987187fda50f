"""Parameters that move without a gradient and without an optimizer: averages of others, targets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Drift:
    """Holds the norms of parameters without a gradient against those of the look before.

    Where one has changed, the update that an optimizer's step has made to it is not known rather
    than zero: something else moves it. Waits for no device.
    """

    def __init__(self) -> None:
        self._norms: dict[int, Tensor] = {}
        self._moved: dict[int, Tensor] = {}

    def see(
        self, indices: Sequence[int], norms: Sequence[Tensor], with_gradient: Sequence[float]
    ) -> None:
        """The norms of parameters as they are now; ``with_gradient``: those that have one."""
        self._moved = {}
        if len(with_gradient) == len(indices):  # as nearly always: nothing to hold against
            self._norms.clear()
            return
        pulled = frozenset(with_gradient)
        for i, norm in zip(indices, norms, strict=True):
            if i in pulled:
                self._norms.pop(i, None)
                continue
            before = self._norms.get(i)
            if before is not None and before.device == norm.device:
                self._moved[i] = norm != before
            self._norms[i] = norm

    def known(self, indices: Sequence[int], updates: Sequence[Tensor]) -> list[Tensor]:
        """The norms of updates, NaN of what moves by itself."""
        if not self._moved:
            return list(updates)
        return [
            torch.where(self._moved[i], math.nan, update) if i in self._moved else update
            for i, update in zip(indices, updates, strict=True)
        ]
