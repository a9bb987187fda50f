"""A classifier that is worse than guessing, and has been ever since its first steps."""

from __future__ import annotations

import math

import numpy as np

from monitor.detectors.not_learning import guessed, guessing
from monitor.detectors.robust import Bins, middle, number

_EIGHTHS = 8
_WITHIN = 0.04
"""Of that of some classes: its first loss, which is that of one batch."""
_NEAR = 0.12
"""Of the most classes whose logarithm is so near it has to be above: eight cannot be told from
ten."""
_CALM = 0.12
"""Greatest noise over the level: in more, the first loss says nothing of where it began."""
_THROWN = 5.0
"""Times the noise above its level in the first eighth; white noise gets there once in a million."""
_MARGIN = 0.03
"""Over the logarithm of the classes: labels that say nothing cost a percent at a good rate."""
_FARTHEST = 1.35
"""Times its start: beyond that it is no classifier that hovers, but a loss that grows."""


def worse_than_guessing(bins: Bins, level: float, start: float) -> tuple[float, str] | None:
    """It began at the logarithm of its classes, left that upwards at once, and stays up there.

    Each eighth of the run but the first lies above it, beyond chance, and the last ones no higher
    or lower than the first by a quarter of what it is above.
    """
    if not 0 < start < level <= _FARTHEST * start or bins.points < 200:
        return None
    if not guessing(start, _WITHIN):
        return None
    classes = guessed(start, _NEAR)
    bar = max(start, math.log(classes))
    over = level - bar
    noise = bins.noise()
    if over <= _MARGIN * bar or noise > _CALM * level:
        return None
    size = len(bins) // _EIGHTHS
    # One batch that cost little is no start: it has to have been thrown up as well.
    if float(bins.high[:size].max()) - level < _THROWN * noise:
        return None
    parts = bins.mean[len(bins) - _EIGHTHS * size :].reshape(_EIGHTHS, size)
    levels = np.sort(parts, axis=1)[1:, size // 2]
    error = 1.25 * noise / (size * bins.per_bin) ** 0.5
    if float(levels.min()) <= bar + max(3.5 * error, 0.3 * over):
        return None
    if abs(middle(levels[:3]) - middle(levels[-3:])) > 0.25 * over:
        return None
    return level, (
        f"the loss has hovered at about {number(level)} up to step {int(bins.steps[-1])}, above "
        f"ln({classes}), what guessing among {classes} classes costs, and above its start, "
        f"{number(start)}"
    )
