"""What a training script holds while its model is watched."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from torch import Tensor

Number = float | int | Tensor


class Handle(Protocol):
    """What a training script holds while its model is watched."""

    def log(self, values: Mapping[str, Number], step: int | None = None) -> None:
        """Write scalars, e.g. ``{"train/loss": loss}``; tensors are not waited for."""

    def step(self, step: int) -> None:
        """Say that step number ``step`` is over."""

    def close(self) -> None:
        """Take the hooks off and write what is left."""

    def __enter__(self) -> Handle: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Silent:
    """The handle of a rank that writes nothing."""

    def log(self, values: Mapping[str, Number], step: int | None = None) -> None:
        """Does nothing."""

    def step(self, step: int) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *exception: object) -> None:
        return None
