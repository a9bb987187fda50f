"""From the numbers of one step, once on the host, to the tables that are written.

Runs in the writer's thread, on small CPU tensors; no loop over layers.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from monitor.formats.layerstats import MODULE_STATS, PARAMETER_STATS
from monitor.hook.index import Index
from monitor.hook.modules import Activations
from monitor.hook.parameters import Norms

_NAN = math.nan


class Numbers:
    """Reads runs of numbers off a flat tensor, in the order in which they were stacked."""

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._at = 0

    def take(self, count: int) -> Tensor:
        """The next ``count`` numbers [count]."""
        at, self._at = self._at, self._at + count
        return self._values[at : self._at]


def module_table(taken: Activations, rows: int, numbers: Numbers) -> Tensor:
    """float32 [rows, len(MODULE_STATS)]; NaN where a module did not run or a statistic is moot."""
    seen = len(taken.rows)
    total, norm, low, high, nonzero = numbers.take(5 * seen).view(seen, 5).unbind(1)
    count, looked = taken.counts.tensor, taken.looked.tensor
    found = torch.full((seen, len(MODULE_STATS)), _NAN)
    column = dict(zip(MODULE_STATS, found.unbind(1), strict=True))
    absmax = torch.maximum(-low, high)
    torch.div(total, count, out=column["act_mean"])
    torch.div(norm, count.sqrt(), out=column["act_rms"])
    column["act_absmax"].copy_(absmax)
    column["act_min"].copy_(low)
    torch.div(looked - nonzero, looked, out=column["act_zero_fraction"])
    column["act_count"].copy_(count)
    if seen != rows or not taken.rows.in_order:
        table = torch.full((rows, len(MODULE_STATS)), _NAN)
        found = table.index_copy_(0, taken.rows.tensor, found)
    bounded = taken.saturated_rows
    fractions = numbers.take(len(bounded))
    found[bounded.tensor, MODULE_STATS.index("act_saturated_fraction")] = fractions
    dead = taken.dead_rows
    found[dead.tensor, MODULE_STATS.index("act_dead_fraction")] = numbers.take(len(dead))
    return found


def any_nonfinite(modules: Tensor) -> bool:
    """Whether some module of a :func:`module_table` that did run put out NaN or infinity."""
    absmax, count = (modules[:, MODULE_STATS.index(c)] for c in ("act_absmax", "act_count"))
    return bool((_nonfinite(absmax) & (count == count)).any())  # noqa: PLR0124 - NaN did not run


def input_scalars(taken: Activations, numbers: Numbers) -> dict[str, float]:
    """Mean, standard deviation (of a sample) and greatest magnitude of the first input."""
    if not taken.input_count:
        return {}
    total, low, high, spread = numbers.take(4).tolist()
    absmax = _NAN if math.isnan(low) else max(-low, high)
    return {
        "health/input_mean": total / taken.input_count,
        "health/input_std": spread,
        "health/input_absmax": absmax,
    }


@dataclass(frozen=True, slots=True)
class ParameterNumbers:
    """A table float32 [rows, len(PARAMETER_STATS)] and what concerns all of its rows."""

    table: Tensor
    grad_norm: float
    """Global 2-norm of the gradients; NaN if there are none, or if some value is."""
    nonfinite: bool
    """Some gradient has a value that is not finite."""


def parameter_table(taken: Sequence[Norms], rows: Index, numbers: Numbers) -> ParameterNumbers:
    """``rows``: the table's row for each parameter; NaN where a statistic could not be had."""
    table = torch.full((len(rows), len(PARAMETER_STATS)), _NAN)
    found = [_fill(table, norms, numbers) for norms in taken]
    squares = [square for square, _ in found if square is not None]
    total = math.sqrt(sum(squares)) if squares else _NAN
    if not rows.in_order:
        table = table.index_select(0, rows.inverse)
    return ParameterNumbers(table, total, any(bad for _, bad in found))


def _fill(table: Tensor, norms: Norms, numbers: Numbers) -> tuple[float | None, bool]:
    """Fill in what one optimizer's step left; a row per parameter, as they are numbered.

    Returns the sum of its squared gradients, None without any, and whether some is not finite.
    """
    weight, grad, absmax, nonfinite, update = table.unbind(1)
    _put(weight, norms.weights, numbers.take(len(norms.weights)))
    count = len(norms.grads)
    grad_norms, low, high = numbers.take(3 * count).view(3, count)
    update_norms = numbers.take(len(norms.updates)) * norms.update_factors.tensor
    _put(update, norms.updates, update_norms)
    scale, skipped = numbers.take(len(norms.scale)), numbers.take(len(norms.skipped))
    if bool((skipped > 0).any()):
        # The scaler's job, every now and then: neither news nor anyone's gradient.
        return None, False
    unscale = 1.0 / scale if norms.scale else 1.0
    unscaled = grad_norms * unscale
    greatest = torch.maximum(-low, high)
    bad = _nonfinite(greatest)
    _put(grad, norms.grads, unscaled)
    _put(absmax, norms.grads, greatest * unscale)
    _put(nonfinite, norms.grads, bad)
    squares = float(unscaled.double().square().sum()) if count else None
    return squares, bool(bad.any())


def _put(column: Tensor, index: Index, values: Tensor) -> None:
    """``column[index] = values``."""
    if len(index) == len(column) and index.in_order:
        column.copy_(values)
    else:
        column[index.tensor] = values.to(column.dtype)


def _nonfinite(absmax: Tensor) -> Tensor:
    """Where the greatest magnitude is NaN or infinite; far cheaper than ``isfinite``."""
    return absmax - absmax != 0


def as_bytes(table: Tensor) -> bytes:
    """float32 little-endian, row by row; without numpy, which torch may lack."""
    table = table.contiguous()
    return ctypes.string_at(table.data_ptr(), 4 * table.numel())
