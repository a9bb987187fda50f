"""Geometric growth along the layers, fitted so that one odd layer does not matter."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MOST = 300
"""Layers that a line is laid through: the number of pairs grows with the square."""


@dataclass(frozen=True, slots=True)
class Trend:
    """``fold``: from the first layer to the last along the fitted line, below 1 for a fall.

    ``order``: Kendall's tau, 1 where every layer is above all before it, -1 where below.
    """

    fold: float
    order: float
    layers: int

    @property
    def per_layer(self) -> float:
        """Fold from one layer to the next."""
        return math.exp(math.log(self.fold) / max(1, self.layers - 1))


def trend(scales: Sequence[float]) -> Trend | None:
    """A line through the logarithms of ``scales``, by layer: the median of all slopes
    (Theil and Sen). None with fewer than two that are finite and above zero.
    """
    points = [
        (i, math.log10(scale)) for i, scale in enumerate(scales) if 0 < scale < math.inf
    ]  # a NaN compares as false
    points = points[:: -(-len(points) // MOST)]
    slopes = [(b - a) / (j - i) for k, (i, a) in enumerate(points) for j, b in points[k + 1 :]]
    if not slopes:
        return None
    signs = sum((slope > 0) - (slope < 0) for slope in slopes)
    span = points[-1][0] - points[0][0]
    decades = max(-300.0, min(300.0, statistics.median(slopes) * span))
    return Trend(10.0**decades, signs / len(slopes), span + 1)
