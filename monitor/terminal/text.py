"""Text from files, made harmless and made to fit; a curve as one line of text."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from monitor.points import Floats

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-~^"
_BROKEN = "x"


def plain(text: str) -> str:
    """Without anything that a terminal would obey: names of tags and directories may hold it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def plural(count: int, one: str) -> str:
    """``1 alert``, ``2 alerts``."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def shortened(text: str, width: int) -> str:
    """At most ``width`` cells: long names differ at their ends, so the middle is left out."""
    if cell_len(text) <= width:
        return text
    if width < 5:
        return set_cell_size(text, width)
    head, tail = (width - 1) // 2, text
    while cell_len(tail) > width - 1 - head:
        tail = tail[1:]
    return set_cell_size(text, head) + "\N{HORIZONTAL ELLIPSIS}" + tail


class Name:
    """A run's name, shortened to the column that it stands in. Renderable."""

    def __init__(self, name: str, style: str = "") -> None:
        self._name = plain(name)
        self._style = style

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(shortened(self._name, options.max_width), style=self._style)

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        whole = cell_len(self._name)
        return Measurement(min(8, whole), min(whole, options.max_width))


class Sparkline:
    """A curve in one line, as wide as its column; a stretch without finite values is an x."""

    def __init__(self, values: Floats) -> None:
        self._values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        try:
            _BARS.encode(console.encoding)
            bars = _BARS
        except UnicodeEncodeError:
            bars = _ASCII_BARS
        yield Text(sparkline(self._values, options.max_width, bars))

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(4, options.max_width), options.max_width)


def sparkline(values: Floats, width: int, bars: str = _BARS) -> str:
    """``values`` [B] in at most ``width`` characters; from their least to their greatest."""
    count = min(width, len(values))
    if not count:
        return ""
    finite = np.where(np.isfinite(values), values, np.nan)
    edges = np.linspace(0, len(values), count + 1).astype(int)
    means = [_mean(finite[a:b]) for a, b in pairwise(edges)]
    known = [mean for mean in means if mean is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    # Halved, since the distance of two doubles may be none.
    span = (high / 2 - low / 2) or 1.0
    return "".join(
        _BROKEN
        if mean is None
        else bars[min(int((mean / 2 - low / 2) / span * len(bars)), len(bars) - 1)]
        for mean in means
    )


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float((known / len(known)).sum()) if len(known) else None
