"""A loss that falls at a constant rate: the learning rate could be higher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.not_learning import guessing
from monitor.detectors.rewards import rewarded
from monitor.detectors.robust import bins_of, check, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class SlowLearning:
    """A loss that falls slowly, smoothly and steadily: the learning rate is probably too low.

    Sees the whole curve, whose first twentieth is left out. What is left is cut into six; bad
    where the gain from each to the next is at least ``even`` of the mean gain (and no more than
    its inverse), the last gains together at least ``even`` of the first ones and no more than
    its inverse, and each gain beyond four standard errors. A rate that is right shows in a curve
    that bends: an exponential that passes is at most 0.4 of its time constant long, so that seven
    times the run so far is needed to come near its end.

    Earlier, from half as many ``steps`` on and in more noise, where the first sixth lies within 3 %
    of the logarithm of 2 to 10, 100 or 1000 classes, what guessing costs, and the last within
    4 % of the first, five standard errors below it: a classifier that learns leaves that level
    within some ten steps.

    Defaults: ``even`` 0.8; ``steps`` 500 and ``points`` 100: any curve is straight if one
    looks at little of it. Half of the ``points`` and any steps will do where a new validation loss
    (role ``val_loss``) comes with each of them: they are epochs.

    Stays quiet: power laws, exponentials and all that bends; noise that hides the trend; runs
    whose learning rate changed by half or more (warm-up, decay); runs that log a reward.
    Cannot tell: the beginning of a very long run, or a loss without a floor that is meant to
    fall for ever (critics, likelihoods); hence for information only.

    Source: our reasoning.
    """

    even: float = field(
        default=0.8, metadata={"unit": "ratio", "doc": "late gains over early ones"}
    )
    steps: int = field(
        default=500, metadata={"unit": "steps", "doc": "steps needed before judging"}
    )
    points: int = field(
        default=100, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "slow_learning"
    context: ClassVar[tuple[str, ...]] = ("learning_rate", "reward", "val_loss")
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("even", 0 < self.even < 1, "between 0 and 1")
        check("steps", self.steps >= 1, "at least 1 step")
        check("points", self.points >= 24, "at least 24 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        bins = bins_of(curve)
        n = len(bins)
        length = float(bins.steps[-1]) - curve.first_step if n else 0.0
        epochs = _epochs(curve)
        enough = self.points / 2 if epochs else self.points
        if bins.points < enough or n < 24 or (length < self.steps / 2 and not epochs):
            return UNKNOWN
        if rewarded(curve):
            return UNKNOWN
        size = (n - n // 20) // 6
        parts = bins.mean[n - 6 * size :].reshape(6, size)
        medians = np.sort(parts, axis=1)[:, size // 2]
        gains = medians[:-1] - medians[1:]
        fallen = float(medians[0] - medians[-1])
        if fallen <= 0:
            return OK
        error = bins.noise() * 1.25 * (2 / (size * bins.per_bin)) ** 0.5
        even = (epochs or length >= self.steps) and self._even(gains, fallen / 5, error)
        if not (even or _at_chance(medians, gains, error)) or _changed(curve):
            return OK
        onset, last = int(bins.steps[0]), int(bins.steps[-1])
        now = middle(parts[-1])
        seen = (
            f"the loss has come from {number(float(bins.head[0]))} at step {onset} to "
            f"{number(now)} at step {last} at a constant rate, about "
            f"{number(fallen * 6 / 5)} in all, and does not bend"
        )
        return Verdict(Health.BAD, Evidence(now, seen, onset))

    def _even(self, gains: Floats, mean: float, error: float) -> bool:
        least, most = float(gains.min()), float(gains.max())
        if least < max(self.even * mean, 4 * error) or most * self.even > mean:
            return False
        return not _bent(gains, self.even)


def _at_chance(medians: Floats, gains: Floats, error: float) -> bool:
    """It falls beyond chance, does not bend much, and still all but guesses among its classes."""
    level, fallen = float(medians[0]), float(medians[0] - medians[-1])
    if fallen < 5 * error or fallen > 0.04 * level or not guessing(level, 0.03):
        return False
    return not _bent(gains, 0.4)


def _bent(gains: Floats, even: float) -> bool:
    early, late = float(gains[:2].sum()), float(gains[-2:].sum())
    return late < even * early or late * even > early


def _epochs(curve: Curve) -> bool:
    """Each point is that of an epoch: the validation loss is another one at nearly all of them."""
    told = curve.context.get("val_loss", np.empty(0))
    if curve.per_bin > 1 or len(told) < 3:
        return False
    return int((np.diff(told[2:]) != 0).sum()) >= 0.9 * (len(told) - 3) and bool(
        np.isfinite(told[2:]).all()
    )


def _changed(curve: Curve) -> bool:
    """The learning rate did not stay about where it was."""
    rates = curve.context.get("learning_rate", np.empty(0))
    known = rates[np.isfinite(rates)]
    return len(known) > 0 and float(known.max()) > 1.5 * float(known.min())
