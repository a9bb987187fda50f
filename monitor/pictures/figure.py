"""A picture drawn: the loss with its alerts, layers that are at fault, and the learning rate.

Needs matplotlib.

The object-oriented side of matplotlib only: nothing global is touched, and no window is opened.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.lib.stride_tricks import sliding_window_view

from monitor.pictures.gather import Line, Picture, Span
from monitor.pictures.heat import draw_heat
from monitor.pictures.words import plain
from monitor.points import Floats, Ints

WIDTH, HEIGHT, HEAT_HEIGHT, DPI = 8.0, 4.2, 1.9, 120
LOG_FROM = 50.0
"""The scale is logarithmic where the greatest of all values is so many times the least."""
SMOOTHING = 24
"""The smooth curve is the median of a twenty-fourth of the buckets around each: it neither lags nor
shows a leap before it comes."""
MOST_LABELS = 6
_CHARACTERS = 110
"""Of a label's size that fit side by side."""
COLOURS = ("#1f5fbf", "#b5500b", "#1b7f5c", "#7a3fb0", "#8a6d00", "#a02c5a")
SEVERITIES = {"critical": "#c0392b", "warning": "#c77700", "info": "#5b7083"}
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.which": "major",
    "grid.color": "#e4e8ee",
    "axes.axisbelow": True,
    # The same run gives the same bytes, and text stays text.
    "svg.hashsalt": "monitor",
    "svg.fonttype": "none",
}


def draw(picture: Picture, kind: str) -> bytes:
    """``picture`` as ``png`` or ``svg``; white behind, since messages may be dark."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names in letters that the font does not have
        height = HEIGHT + (HEAT_HEIGHT if picture.heat else 0.0)
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        _fill(figure, picture)
        written = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(written, format=kind, metadata=metadata, facecolor="white")
    return written.getvalue()


def _fill(figure: Figure, picture: Picture) -> None:
    rates = picture.rates if any(line.attempts for line in picture.rates) else ()
    ratios = [3.2, *([2.0] if picture.heat else []), *([1.0] if rates else [])]
    rows = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
    axes: list[Axes] = list(rows[:, 0])
    name = "this run" if picture.run == "." else picture.run
    figure.suptitle(plain(name, 90), x=0.01, ha="left", weight="bold", parse_math=False)
    curves = [axes[0], *(axes[-1:] if rates else [])]
    _curves(axes[0], picture.lines, smooth=True)
    if rates:
        _curves(axes[-1], rates, smooth=False)
    axes[-1].set_xlabel("step")
    limits, last = axes[0].get_xlim(), _last_step(picture)
    if picture.heat:
        draw_heat(axes[1], picture.heat)
    axes[0].set_xlim(limits)
    for at in curves:
        for span in picture.spans:
            _shade(at, span, last)
    _labels(axes[0], picture.spans)


def _curves(axes: Axes, lines: Sequence[Line], smooth: bool) -> None:
    """Lines with their envelopes, a legend, and crosses for what is not finite."""
    if _logarithmic(lines):
        axes.set_yscale("log")
    shown: list[Line2D] = []
    for line, colour in zip(lines, COLOURS, strict=False):
        for attempt in line.attempts:
            order = np.argsort(attempt.steps, kind="stable")
            steps, mean = attempt.steps[order], attempt.mean[order, 0]
            low, high = attempt.low[order, 0], attempt.high[order, 0]
            faint = 0.35 if smooth and len(steps) > 2 * SMOOTHING else 1.0
            axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
            # A learning rate holds until the next.
            drawn = "default" if smooth else "steps-post"
            axes.plot(steps, mean, color=colour, linewidth=0.9, alpha=faint, drawstyle=drawn)
            if faint < 1.0:
                axes.plot(steps, smoothed(mean), color=colour, linewidth=1.6)
            _crosses(axes, steps[attempt.bad[order, 0] > 0])
        if line.attempts:
            shown.append(Line2D([], [], color=colour, linewidth=1.6, label=plain(line.tag, 60)))
    legend = axes.legend(handles=shown, loc="best", fontsize=8, framealpha=0.8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.margins(x=0.01)


def _logarithmic(lines: Sequence[Line]) -> bool:
    """All positive, and far apart."""
    low = [_known(attempt.low) for line in lines for attempt in line.attempts]
    high = [_known(attempt.high) for line in lines for attempt in line.attempts]
    least = min((float(a.min()) for a in low if len(a)), default=0.0)
    greatest = max((float(a.max()) for a in high if len(a)), default=0.0)
    return least > 0 and greatest >= LOG_FROM * least


def _known(values: Floats) -> Floats:
    found: Floats = values[np.isfinite(values)]
    return found


def smoothed(values: Floats) -> Floats:
    """The median of the finite ones around each."""
    half = max(1, len(values) // SMOOTHING // 2)
    known = np.where(np.isfinite(values), values, np.nan)
    around = sliding_window_view(np.pad(known, half, constant_values=np.nan), 2 * half + 1)
    return np.where(np.isnan(known), np.nan, np.nanmedian(around, axis=1))


def _crosses(axes: Axes, steps: Ints) -> None:
    """Where values were NaN or infinite, along the upper edge."""
    if len(steps):
        height = np.full(len(steps), 0.98)
        axes.plot(
            *(steps, height),
            linestyle="none",
            marker="x",
            markersize=5,
            color=SEVERITIES["critical"],
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )


def _last_step(picture: Picture) -> int:
    ends = [a.steps.max() for line in picture.lines for a in line.attempts if len(a.steps)]
    return int(max(ends, default=0))


def _shade(axes: Axes, span: Span, last: int) -> None:
    colour = SEVERITIES.get(span.severity, SEVERITIES["info"])
    end = max(span.fired, last if span.end is None else span.end)
    axes.axvspan(span.fired, end, color=colour, alpha=0.16 if span.chosen else 0.09, linewidth=0)
    if span.onset < span.fired:
        axes.axvspan(span.onset, span.fired, color="#5b7083", alpha=0.08, linewidth=0)
    axes.axvline(span.fired, color=colour, linewidth=1.4 if span.chosen else 0.8, linestyle="--")


def _labels(axes: Axes, spans: Sequence[Span]) -> None:
    """Names above the curve where the alerts fired, in rows so that none covers another."""
    order = ("critical", "warning", "info")
    worst = sorted(spans, key=lambda s: (not s.chosen, order.index(s.severity), s.fired))
    shown = sorted(worst[:MOST_LABELS], key=lambda span: span.fired)
    free: list[float] = []
    """Where each row of labels ends."""
    first, width = axes.get_xlim()[0], axes.get_xlim()[1] - axes.get_xlim()[0] or 1.0
    for span in shown:
        text = plain(span.alert, 40)
        needed = len(text) / _CHARACTERS
        begin = min((span.fired - first) / width, 1.0 - needed)
        row = next((i for i, end in enumerate(free) if end <= begin), len(free))
        free[row : row + 1] = [begin + needed + 0.01]
        axes.text(
            *(begin, 1.015 + 0.062 * row, text),
            transform=axes.transAxes,
            color=SEVERITIES.get(span.severity, SEVERITIES["info"]),
            fontsize=7.5,
            weight="bold" if span.chosen else "normal",
            parse_math=False,
        )
    if len(spans) > len(shown):
        said = f"{len(spans) - len(shown)} more alerts"
        axes.text(0.0, 1.015, said, transform=axes.transAxes, fontsize=7, color="#5b7083")
