"""Curves and heat maps as the page draws them: columns as JSON, extremes kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.history import RunHistory, Thinned
from monitor.page.text import clean, encoded
from monitor.points import Floats

LAYER_COLUMNS = 320
DIGITS = 6


def curves(history: RunHistory, run: str, whole: bool, tags: Sequence[str], points: int) -> bytes:
    """The answer to ``GET api/v1/curves``: each attempt in at most ``points`` buckets."""
    found = []
    for tag in tags:
        count, attempts = history.scalar(tag, points)
        if attempts:
            drawn = [_curve(attempt) for attempt in attempts]
            found.append({"tag": clean(tag), "points": count, "attempts": drawn})
    return encoded({"run": clean(run), "whole": whole, "curves": found})


def _curve(thinned: Thinned) -> dict[str, object]:
    order = np.argsort(thinned.steps, kind="stable")  # writers with threads jumble a few points
    return {
        "steps": thinned.steps[order].tolist(),
        "mean": _numbers(thinned.mean[order, 0]),
        "low": _numbers(thinned.low[order, 0]),
        "high": _numbers(thinned.high[order, 0]),
        "bad": thinned.bad[order, 0].tolist(),
    }


def layers(history: RunHistory, run: str, whole: bool, stat: str) -> bytes:
    """The answer to ``GET api/v1/layers``: the present attempt, the greatest value of each cell."""
    found = history.layers(stat, LAYER_COLUMNS)
    if found is None:
        none = {"steps": [], "layers": [], "left_out": 0, "values": []}
        nothing = {"lowest": None, "lowest_positive": None, "highest": None, "zeros": 0, "bad": 0}
        return encoded({"run": clean(run), "whole": whole, "stat": stat, **none, **nothing})
    names, thinned = found
    values = thinned.high
    shown = names[: values.shape[1]]
    known = values[np.isfinite(values)]
    bad = thinned.bad > 0
    return encoded(
        {
            "run": clean(run),
            "whole": whole,
            "stat": stat,
            "steps": thinned.steps.tolist(),
            "layers": [clean(name) for name in shown],
            "left_out": len(names) - len(shown),
            "values": [_cells(values[:, i], bad[:, i]) for i in range(values.shape[1])],
            "lowest": _extreme(known, np.min),
            "lowest_positive": _extreme(known[known > 0], np.min),
            "highest": _extreme(known, np.max),
            "zeros": int((known == 0).sum()),
            "bad": int(bad.sum()),
        }
    )


def _extreme(values: Floats, of: Callable[[Floats], float]) -> float | None:
    return float(of(values)) if len(values) else None


def _cells(values: Floats, bad: NDArray[np.bool_]) -> list[float | str | None]:
    cells: list[float | str | None] = list(_numbers(values))
    for i in np.flatnonzero(bad).tolist():
        cells[i] = "bad"
    return cells


def _numbers(values: Floats) -> list[float | None]:
    """Six significant digits: more cannot be drawn; null where there is none."""
    return [None if text == "nan" else float(text) for text in map(_TEXT, values.tolist())]


_TEXT = f"{{:.{DIGITS}g}}".format
