"""What functions do to columns of points. Conditions are 1 and 0; NaN is unknown throughout.

Each function of a window gets [T, W]: for each of T points the values in its window, oldest
first, NaN where there is none. Rows are contiguous, so that numpy adds each up in the same order
whatever T is: the same points cut into other reads give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.robust import median, quantile
from monitor.points import Floats

MOST_CELLS = 1 << 18
"""Of [T, W] at once: 2 MiB, which stays in the cache."""


def known(values: Floats) -> NDArray[np.bool_]:
    """Where values are."""
    return ~np.isnan(values)


def divide(a: Floats, b: Floats) -> Floats:
    """Unknown where ``b`` is 0."""
    return np.where(b == 0, np.nan, a / np.where(b == 0, 1.0, b))


def both(a: Floats, b: Floats) -> Floats:
    """Kleene's "and": false if one is, whatever the other."""
    return np.where((a == 0) | (b == 0), 0.0, a * b)


def either(a: Floats, b: Floats) -> Floats:
    """Kleene's "or": true if one is, whatever the other."""
    return np.where((a == 1) | (b == 1), 1.0, a + b)


def _compared(ufunc: np.ufunc) -> Callable[[Floats, Floats], Floats]:
    def compare(a: Floats, b: Floats) -> Floats:
        return np.where(np.isnan(a) | np.isnan(b), np.nan, ufunc(a, b))

    return compare


BINARY: Mapping[str, Callable[[Floats, Floats], Floats]] = MappingProxyType(
    {
        "+": np.add,
        "-": np.subtract,
        "*": np.multiply,
        "/": divide,
        "and": both,
        "or": either,
        "<": _compared(np.less),
        "<=": _compared(np.less_equal),
        ">": _compared(np.greater),
        ">=": _compared(np.greater_equal),
        "==": _compared(np.equal),
        "!=": _compared(np.not_equal),
    }
)

UNARY: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {
        "-": np.negative,
        "not": lambda a: 1.0 - a,
        "abs": np.abs,
        "exp": np.exp,
        "sqrt": np.sqrt,
        "log": lambda a: np.where(a > 0, np.log(np.where(a > 0, a, 1.0)), np.nan),
    }
)


def _sum(rows: Floats) -> Floats:
    total: Floats = np.where(known(rows), rows, 0.0).sum(axis=1)
    return total


def _mean(rows: Floats) -> Floats:
    mean: Floats = _sum(rows) / known(rows).sum(axis=1)
    return mean


def _finite(rows: Floats, found: Floats) -> Floats:
    """Unknown where a value is infinite: distances from it are no numbers."""
    return np.where(np.isinf(rows).any(axis=1), np.nan, found)


def _std(rows: Floats) -> Floats:
    off = rows - _mean(rows)[:, None]
    return _finite(rows, np.sqrt(_mean(off * off)))


def _median(rows: Floats) -> Floats:
    """Most live reads bring one point; for one window the overhead of sorting is what costs.

    Of 50 values 4 us instead of 19, to the same bits (``python -m tests.bench.bench_expression``).
    """
    if len(rows) > 1 or np.isnan(rows).any():
        return median(rows)
    width = rows.shape[1]
    low, high = (width - 1) // 2, width // 2
    parted = np.partition(rows, (low, high), axis=1)
    middle: Floats = (parted[:, low] + parted[:, high]) / 2.0
    return middle


def _oldest(rows: Floats) -> Floats:
    oldest: Floats = rows[np.arange(len(rows)), known(rows).argmax(axis=1)]
    return oldest


def _latest(rows: Floats) -> Floats:
    return _oldest(rows[:, ::-1])


def slope(rows: Floats, steps: Floats) -> Floats:
    """Per step, by least squares; unknown where all known points share one step."""
    at = np.where(known(rows), steps, np.nan)
    x, y = at - _mean(at)[:, None], rows - _mean(rows)[:, None]
    return _finite(rows, divide(_sum(x * y), _sum(x * x)))


WINDOWED: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {
        "median": _median,
        "mean": _mean,
        "std": _std,
        "min": lambda rows: np.fmin.reduce(rows, axis=1),
        "max": lambda rows: np.fmax.reduce(rows, axis=1),
        "first": _oldest,
        "last": _latest,
        "delta": lambda rows: _latest(rows) - _oldest(rows),
        "count": _sum,
    }
)


def windowed(function: str, share: float | None, rows: Floats, steps: Floats) -> Floats:
    """A function of windows; ``steps`` [T, W] are those of the points in them."""
    if function == "slope":
        return slope(rows, steps)
    if share is not None:
        return quantile(rows, share)
    return WINDOWED[function](rows)


def running(function: str, memory: Floats, values: Floats) -> tuple[Floats, Floats]:
    """A function of the attempt so far: its column, and its memory after it.

    The memory is NaN of nothing; of a mean it is the sum and how many there are.
    """
    if function in ("min", "max"):
        ufunc = np.fmin if function == "min" else np.fmax
        column: Floats = ufunc.accumulate(np.concatenate((memory, values)))[1:]
        return column, column[-1:].copy()
    if function in ("first", "last"):
        joined = np.concatenate((memory, values))
        there = np.where(known(joined), np.arange(len(joined)), 0)
        at = np.maximum.accumulate(there)
        if function == "first":
            at = np.where(at > 0, known(joined).argmax(), 0) if np.isnan(memory[0]) else at * 0
        column = joined[at][1:]
        return column, column[-1:].copy()
    there = known(values)
    # np.cumsum adds one by one, so that it goes on from a sum as if it had never stopped.
    total = np.cumsum(np.concatenate((memory[:1], np.where(there, values, 0.0))))
    many = np.cumsum(np.concatenate((memory[1:], there.astype(np.float64))))
    after = np.array([total[-1], many[-1]])
    column = divide(total, many) if function == "mean" else np.where(many > 0, total, np.nan)
    return column[1:], after


def nothing(function: str) -> Floats:
    """The memory of :func:`running` before the first point."""
    return np.zeros(2) if function in ("mean", "count") else np.full(1, np.nan)
