"""Lists of positions that rarely change from one step to the next, as tensors once needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Index:
    """Numbers as a list; as a tensor [len(items)] when first asked, and then for good.

    Making a tensor of ten thousand Python numbers takes a millisecond. The training thread makes
    the list, the writer's thread asks for the tensor.
    """

    __slots__ = ("_dtype", "_everything", "_order", "_tensor", "items")

    def __init__(self, items: Sequence[float], dtype: torch.dtype = torch.int64) -> None:
        self.items = items
        self._dtype = dtype
        self._tensor: Tensor | None = None
        self._everything: bool | None = None
        self._order: Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def tensor(self) -> Tensor:
        """The numbers as a CPU tensor; nobody may change it."""
        if self._tensor is None:
            self._tensor = torch.tensor(self.items, dtype=self._dtype)
        return self._tensor

    @property
    def in_order(self) -> bool:
        """Whether the numbers are 0, 1, 2, ..., so that what they index can be taken as it is."""
        if self._everything is None:
            self._everything = list(self.items) == list(range(len(self.items)))
        return self._everything

    @property
    def inverse(self) -> Tensor:
        """Of a permutation: where each number stands."""
        if self._order is None:
            self._order = torch.argsort(self.tensor)
        return self._order


class Known:
    """Gives the same :class:`Index` again for as long as the numbers stay the same."""

    def __init__(self) -> None:
        self._last: dict[object, Index] = {}

    def index(
        self, name: object, items: Sequence[float], dtype: torch.dtype = torch.int64
    ) -> Index:
        """The index of ``items``, known by ``name``."""
        last = self._last.get(name)
        if last is None or last.items != items:
            last = self._last[name] = Index(items, dtype)
        return last
