"""The batch axis: the one that inputs, target and output share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monitor.experiments.trees import floats, mapped, tensors


@dataclass(frozen=True, slots=True)
class Layout:
    """``size`` rows along ``axis`` of the inputs. ``output_axis``: where the output has them."""

    size: int
    axis: int
    output_axis: int

    def has_rows(self, tensor: Tensor) -> bool:
        """Whether this input has one slice per row."""
        return tensor.ndim > self.axis and tensor.shape[self.axis] == self.size

    def rows_of(self, tensor: Tensor) -> int | None:
        """The axis of a target along which its rows lie, None if it has none."""
        for axis in (self.axis, 0):
            if tensor.ndim > axis and tensor.shape[axis] == self.size:
                return axis
        return None

    def take(self, batch: Any, index: Sequence[int]) -> Any:
        """Those rows of ``batch``; what has no rows stays whole."""

        def pick(tensor: Tensor) -> Tensor:
            axis = self.rows_of(tensor)
            if axis is None:
                return tensor
            return tensor.index_select(axis, torch.tensor(list(index), device=tensor.device))

        return mapped(batch, pick)


def layouts(inputs: object, output: object, axis: int | None = None) -> tuple[list[Layout], str]:
    """All layouts that fit, the likeliest first, or why there is none.

    Every input of one dimension or more must have the same size along the axis, or 1, which
    broadcasts. The output must have it there or along its axis 0 (the last step of a sequence).
    Axis 0 is tried before 1 (sequence first). ``axis`` names it, and then inputs may differ.
    """
    named = [(path, t) for path, t in tensors(inputs) if t.ndim > 0]
    outputs = [t for t in floats(output) if t.ndim > 0]
    if not named:
        return [], "the model is called with no tensors"
    if not outputs:
        return [], "the output has no floating-point tensor with a batch axis"
    found, reasons = [], []
    for candidate in (0, 1) if axis is None else (axis,):
        layout, reason = _layout(named, outputs, candidate, strict=axis is None)
        if layout is not None:
            found.append(layout)
        reasons.append(reason)
    return found, reasons[0]


def _may_be_sequence_first(tensor: Tensor) -> bool:
    """[T, N] of integers, [T, N, C], or nothing that has rows."""
    return tensor.ndim == (3 if tensor.is_floating_point() else 2) or tensor.ndim < 2


def _layout(
    named: list[tuple[str, Tensor]], outputs: list[Tensor], axis: int, *, strict: bool
) -> tuple[Layout | None, str]:
    if axis == 1 and strict and not all(_may_be_sequence_first(t) for _, t in named):
        return None, "axis 1 holds features"
    sizes = {t.shape[axis]: path for path, t in named if t.ndim > axis and t.shape[axis] != 1}
    if not sizes:
        return None, f"the batch has no more than one row along axis {axis}"
    if len(sizes) > 1 and strict:
        listed = ", ".join(f"{size} (input{path})" for size, path in sizes.items())
        return None, f"the inputs have different sizes along axis {axis}: {listed}"
    for size in sizes:
        for output_axis in dict.fromkeys((axis, 0)):
            if any(t.ndim > output_axis and t.shape[output_axis] == size for t in outputs):
                return Layout(size, axis, output_axis), ""
    shapes = ", ".join(str(tuple(t.shape)) for t in outputs[:3])
    return None, f"no output {shapes} has the {next(iter(sizes))} rows of the batch: not batched"
