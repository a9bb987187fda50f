"""A curve in a few lines of text, braille where that can be shown, with the alert marked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.notices import number
from monitor.points import Floats, Ints

WIDEST = 100
HEIGHT = 10
LARGE_SPREAD = 100.0
"""From this ratio on the scale is logarithmic."""
_LABEL = 11
# Of a braille character: two columns of four dots, from the top.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


@dataclass(frozen=True, slots=True)
class Marks:
    """Steps of an alert's life."""

    onset: int
    fired: int
    resolved: int | None


@dataclass(frozen=True, slots=True)
class Signs:
    """What the marks are drawn with."""

    dots: bool
    broken: str
    pending: str
    firing: str
    fired: str
    edge: str


BRAILLE = Signs(True, "x", "┄", "━", "▲", "│")
ASCII = Signs(False, "x", "-", "=", "^", "|")


def draw(
    steps: Ints, values: Floats, marks: Marks, width: int, signs: Signs = BRAILLE
) -> list[str]:
    """Lines of at most ``width`` characters: the curve, what was not finite, the alert, steps.

    The scale holds every finite value; each column shows the lowest to the highest value in it.
    """
    columns = max(10, min(width, WIDEST) - _LABEL - 2)
    low, high = int(steps.min()), int(steps.max())
    low, high = min(low, marks.onset), max(high, marks.fired)
    finite = np.isfinite(values)
    lines = []
    if finite.any():
        cells = _cells(steps[finite], values[finite], (low, high), columns, signs)
        top, bottom = number(float(values[finite].max())), number(float(values[finite].min()))
        labels = [top, *[""] * (HEIGHT - 2), bottom]
        lines = [_line(t, c, signs) for t, c in zip(labels, cells, strict=True)]
    if not finite.all():
        lines.append(_line("not finite", _broken(steps[~finite], low, high, columns, signs), signs))
    lines.append(_line("alert", _life(marks, low, high, columns, signs), signs))
    first, last = str(low), str(high)
    between = " " * max(1, columns - len(first) - len(last))
    return [*lines, _line("step", first + between + last, signs)]


def scale(values: Floats) -> str:
    """``log`` where finite values are positive and orders of magnitude apart, else ``linear``."""
    known = values[np.isfinite(values)]
    if not len(known) or known.min() <= 0:
        return "linear"
    with np.errstate(over="ignore"):
        return "log" if known.max() / known.min() >= LARGE_SPREAD else "linear"


def _line(label: str, drawn: str, signs: Signs) -> str:
    return f"{label:>{_LABEL}} {signs.edge}{drawn}".rstrip()


def _at(steps: Ints, low: int, high: int, columns: int) -> NDArray[np.intp]:
    """The column of each step."""
    share = (steps - low) / max(1, high - low)
    return np.clip(np.rint(share * (columns - 1)), 0, columns - 1).astype(np.intp)


def _cells(
    steps: Ints, values: Floats, span: tuple[int, int], columns: int, signs: Signs
) -> list[str]:
    wide, tall = (2 * columns, 4 * HEIGHT) if signs.dots else (columns, HEIGHT)
    at = _at(steps, *span, wide)
    height = np.log10(values) if scale(values) == "log" else values / 4  # a quarter: no overflow
    bottom, extent = height.min(), height.max() - height.min()
    share = (height - bottom) / extent if extent > 0 else np.full(len(height), 0.5)
    row = np.rint((1 - share) * (tall - 1)).astype(np.intp)
    upper, lower = np.full(wide, tall), np.full(wide, -1)
    np.minimum.at(upper, at, row)
    np.maximum.at(lower, at, row)
    rows = np.arange(tall)[:, None]
    lit = (rows >= upper) & (rows <= lower)
    if not signs.dots:
        return ["".join("*" if dot else " " for dot in line) for line in lit]
    blocks = lit.reshape(HEIGHT, 4, columns, 2)
    codes = (blocks * _DOTS[None, :, None, :]).sum(axis=(1, 3))
    return ["".join(chr(0x2800 + code) if code else " " for code in line) for line in codes]


def _broken(steps: Ints, low: int, high: int, columns: int, signs: Signs) -> str:
    line = [" "] * columns
    for at in set(_at(steps, low, high, columns).tolist()):
        line[at] = signs.broken
    return "".join(line)


def _life(marks: Marks, low: int, high: int, columns: int, signs: Signs) -> str:
    """From the onset pending, from where it fired firing until it resolved."""
    end = high if marks.resolved is None else marks.resolved
    points = np.array([marks.onset, marks.fired, min(end, high)], np.int64)
    onset, fired, last = _at(points, low, high, columns).tolist()
    line = [" "] * columns
    line[onset:fired] = signs.pending * max(0, fired - onset)
    line[fired : last + 1] = signs.firing * max(0, last + 1 - fired)
    line[fired] = signs.fired
    return "".join(line)
