"""A learning rate that was lowered while the loss was still falling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.robust import bins_of, check, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class EarlyDecay:
    """A learning rate that fell while the loss was still falling, whereupon the loss stood still.

    Sees the whole curve and the learning rate (role ``learning_rate``) as of each bin. The rate
    counts as gone when it is below ``decayed`` of its greatest value for good. What was learnt
    up to then is measured against the rate spent, the sum of rates over steps, which makes a
    decay at each step and one in stairs the same: the gains over the third and the last quarter
    of it, in a geometric row, say what the time since would have brought at the full rate. Bad
    where

    * the rate has been gone for at least ``gone`` of the run so far,
    * what was to be expected is at least ``expected`` of all that had been gained, and the last
      quarter's gain is more than four standard errors,
    * of what was to be expected, less than ``kept`` was gained since, and the loss stands still:
      the last half of the time since brought less than a fifth of ``kept`` of it.

    Defaults: ``decayed`` 0.2: a step to a tenth, or two to a half and a third; ``gone`` 0.35: a
    cosine or a line to zero is that low for its last 30 % or 20 %, a one-cycle for 21 %, a tail
    for 15 %; ``expected`` 0.06 and ``kept`` 0.4: stairs at the right time drop the loss by more
    than going on would have; ``points`` 40: five a quarter and as many since.

    Stays quiet: schedules that end low; warm-up; stairs that lower the loss; a loss that had
    been flat before the decay (extrapolated, little was to come); unknown rates.

    Source: the case study of "Practical Advice for Building Deep Neural Networks" (BYU PCC
    lab); the extrapolation is our reasoning, Aitken's for a geometric row.
    """

    decayed: float = field(
        default=0.2, metadata={"unit": "ratio", "doc": "rate over its greatest that is gone"}
    )
    gone: float = field(
        default=0.35, metadata={"unit": "ratio", "doc": "part of the run at such a rate"}
    )
    expected: float = field(
        default=0.06, metadata={"unit": "ratio", "doc": "gain to be expected over all gained"}
    )
    kept: float = field(
        default=0.4, metadata={"unit": "ratio", "doc": "gain since over what was expected"}
    )
    points: int = field(
        default=40, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "early_decay"
    context: ClassVar[tuple[str, ...]] = ("learning_rate",)
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("decayed", 0 < self.decayed < 1, "between 0 and 1")
        check("gone", 0 < self.gone < 1, "between 0 and 1")
        check("expected", self.expected > 0, "more than 0")
        check("kept", 0 < self.kept < 1, "between 0 and 1")
        check("points", self.points >= 24, "at least 24 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        rates = curve.context.get("learning_rate", np.empty(0))
        n = len(rates)
        if n < 24 or curve.count < self.points or not np.isfinite(rates[n // 2 :]).all():
            return UNKNOWN
        rates = np.where(np.isfinite(rates), rates, 0.0)
        top = float(rates.max())
        high = np.flatnonzero(rates > self.decayed * top)
        if top <= 0 or not len(high) or n - 1 - int(high[-1]) < self.gone * n:
            return OK
        bins = bins_of(curve)
        at = int(high[-1]) + 1
        if len(bins) != n or at < 8:
            return UNKNOWN
        mean, steps = bins.mean, bins.steps
        spent = np.cumsum(rates[:at] * np.diff(steps[:at], prepend=float(curve.first_step)))
        width = max(2, at // 10)
        end = at - 1 - width // 2  # the middle of the last bins at the full rate
        marks = np.searchsorted(spent, np.array([0.5, 0.75]) * spent[end])
        levels = [_level(mean, i, width) for i in (int(marks[0]), int(marks[1]), end)]
        third, last = levels[0] - levels[1], levels[1] - levels[2]
        error = bins.noise(slice(0, at)) * 1.25 * (2 / (width * bins.per_bin)) ** 0.5
        if last <= 4 * error or third <= 0:
            return OK
        quarters = (steps[-1] - steps[at - 1]) * top / (spent[end] / 4)
        hoped = _row(last - error, third + error, float(quarters))
        gained = float(bins.head[:3].max()) - levels[2]
        now = middle(mean[-max(2, (n - at) // 4) :])
        since = levels[2] - now
        half = middle(mean[at + (n - at) // 2 :][:width]) - now
        if hoped < self.expected * gained or since > self.kept * hoped:
            return OK
        if half > 0.2 * self.kept * hoped + error:
            return OK
        return self._bad(curve, at, (levels[2], now), (hoped, float(rates[-1]), top))

    def _bad(
        self, curve: Curve, at: int, levels: tuple[float, float], facts: tuple[float, float, float]
    ) -> Verdict:
        then, now = levels
        hoped, rate, top = facts
        onset = int(curve.steps[at])
        seen = (
            f"the learning rate fell from {number(top)} to {number(rate)}, most of it by step "
            f"{onset}, while the loss was falling; from {number(then)} it has come to "
            f"{number(now)} at step {int(curve.steps[-1])}, where going on at the full rate "
            f"promised about {number(then - hoped)}"
        )
        return Verdict(Health.BAD, Evidence(now, seen, onset))


def _level(mean: Floats, i: int, width: int) -> float:
    """The median of so many bins about bin ``i``."""
    begin = max(0, i - width // 2)
    return middle(mean[begin : begin + width])


def _row(last: float, before: float, quarters: float) -> float:
    """The sum of a geometric row's next terms, at most four, that goes on from these two."""
    ratio = min(max(last, 0.0) / before, 0.8)
    terms = min(quarters, 4.0)
    reached: float = 1.0 - ratio**terms
    return max(last, 0.0) * ratio * reached / (1 - ratio)
