"""Layers over steps as a heat map: viridis, on a log scale where that can be, nothing clipped."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, to_rgba
from numpy.typing import NDArray

from monitor.pictures.gather import Heat
from monitor.pictures.words import plain
from monitor.points import Floats, Ints

MOST_NAMES = 16
ZERO, BAD, NOTHING = "black", "#c0392b", "#e4e8ee"


def draw_heat(axes: Axes, heat: Heat) -> None:
    """Fills ``axes``: the input's layer on top, the ramp with its ends and signs above."""
    axes.grid(visible=False)
    axes.set_yticks([])
    values = heat.cells.high
    if not values.size:
        return
    norm = _norm(values[np.isfinite(values)])
    colours = _colours(heat, norm)
    rows = np.arange(values.shape[1] + 1) - 0.5
    axes.pcolormesh(_edges(heat.cells.steps), rows, colours.swapaxes(0, 1), rasterized=True)
    axes.set_ylim(rows[-1], rows[0])
    each = -(-len(heat.names) // MOST_NAMES)
    named = range(0, len(heat.names), each)
    axes.set_yticks(list(named), [plain(heat.names[i], 24) for i in named], fontsize=6.5)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    said = ", ".join((heat.stat.replace("_", " "), *_signs(heat)))
    axes.set_title(plain(said, 90), loc="left", fontsize=8, parse_math=False)
    if norm is not None:
        _ramp(axes, norm)


def _norm(known: Floats) -> Normalize | None:
    """From the least to the greatest; of what is never negative the logarithm."""
    above = known[known > 0]
    if len(above) and known.min() >= 0:
        return LogNorm(float(above.min()), float(above.max()) * (1 + 1e-9))
    return Normalize(float(known.min()), float(known.max())) if len(known) else None


def _colours(heat: Heat, norm: Normalize | None) -> NDArray[np.float64]:
    """Red, green, blue and alpha of each cell: [T, N, 4]."""
    values = heat.cells.high
    colours = np.full((*values.shape, 4), to_rgba(NOTHING))
    known = np.isfinite(values)
    zero = known & (values == 0) & isinstance(norm, LogNorm)
    if norm is not None:
        shown = known & ~zero
        colours[shown] = mpl.colormaps["viridis"](norm(values[shown]))
    colours[zero] = to_rgba(ZERO)
    colours[heat.cells.bad > 0] = to_rgba(BAD)
    return colours


def _signs(heat: Heat) -> Iterator[str]:
    """What the colours beside the ramp's mean, where they are seen."""
    if (heat.cells.bad > 0).any():
        yield "red: not finite"
    if (heat.cells.high == 0).any():
        yield "black: exactly 0"


def _edges(steps: Ints) -> Ints:
    """What was seen holds until something else is: no fault is drawn before it came."""
    last = steps[-1] - steps[-2] if len(steps) > 1 else 1
    return np.append(steps, steps[-1] + last)


def _ramp(axes: Axes, norm: Normalize) -> None:
    ramp = axes.inset_axes((0.8, 1.04, 0.12, 0.07))
    bar = axes.figure.colorbar(ScalarMappable(norm, "viridis"), cax=ramp, orientation="horizontal")
    bar.set_ticks([])
    bar.ax.minorticks_off()
    for x, side, value in ((-0.04, "right", norm.vmin), (1.04, "left", norm.vmax)):
        ramp.text(
            x, 0.4, f"{value:.3g}", ha=side, va="center", fontsize=7, transform=ramp.transAxes
        )
