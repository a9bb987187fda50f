"""A classifier that is worse than guessing, and has been ever since its first steps."""

from __future__ import annotations

import math

import numpy as np

from monitor.detectors.robust import Bins, middle, number

_EIGHTHS = 8
_CLASSES = np.log(np.array([*range(2, 11), 100, 1000]))
_NEAR = (0.94, 1.12)
"""Of its first loss, which is that of one batch: it began at the cost of guessing among the most
classes that are so near; eight cannot be told from ten."""
_MARGIN = 0.03
"""Over the logarithm of the classes: labels that say nothing cost a percent at a good rate."""
_FARTHEST = 1.5
"""Times its start: beyond that it is no classifier that hovers, but a loss that grows."""


def worse_than_guessing(bins: Bins, level: float, start: float) -> tuple[float, str] | None:
    """It began at the logarithm of its classes, left that upwards at once, and stays up there.

    Each eighth of the run but the first lies above it, beyond chance, and the last ones no higher
    or lower than the first by a quarter of what it is above.
    """
    if not 0 < start < level <= _FARTHEST * start or bins.points < 200:
        return None
    near = _CLASSES[(_CLASSES > _NEAR[0] * start) & (_CLASSES < _NEAR[1] * start)]
    if not len(near):
        return None
    bar = max(start, float(near[-1]))
    over = level - bar
    if over <= _MARGIN * bar:
        return None
    size = len(bins) // _EIGHTHS
    parts = bins.mean[len(bins) - _EIGHTHS * size :].reshape(_EIGHTHS, size)
    levels = np.sort(parts, axis=1)[1:, size // 2]
    error = 1.25 * bins.noise() / (size * bins.per_bin) ** 0.5
    if float(levels.min()) <= bar + max(3.5 * error, 0.3 * over):
        return None
    if abs(middle(levels[:3]) - middle(levels[-3:])) > 0.25 * over:
        return None
    classes = round(math.exp(float(near[-1])))
    return level, (
        f"the loss has hovered at about {number(level)} up to step {int(bins.steps[-1])}, above "
        f"ln({classes}), what guessing among {classes} classes costs, and above its start, "
        f"{number(start)}"
    )
