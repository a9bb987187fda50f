"""A loss that never left its first level."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from monitor.detectors.rewards import rewarded
from monitor.detectors.robust import SIGMA, Bins, bins_of, check, middle, number, tau
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class NotLearning:
    """A loss that never left its first level, such as ln(classes); or a reward, ``of`` which.

    Sees the whole curve. It is cut into six; bad where the median of each sixth, and that of the
    first 16 points within ``noise`` times the noise, differ from the median of all by no more
    than chance (3.5 standard errors), and the noise is below ``calm`` of the level. The first
    points may lie up to half above what guessing costs: the output's bias is set first.

    A reward is noisier, and what is logged of it is often a mean over the last hundred episodes,
    which wanders: it is cut into twelve, and bad where their medians neither rise nor fall with
    time (Kendall's tau below 0.3 either way, one and a half standard errors) and the first is
    none of their outliers (``noise`` times their scatter), nor are the first points.

    Defaults: ``points`` 100, and ``steps`` 300 for those who log often, half of both where the
    level is the logarithm of 2 to 10, 100 or 1000 classes, within 1 %. At such a level 40 points
    are enough, whatever steps they are, if they differ by less than half a percent and take a
    second or more each: each is then the mean of many batches, as of an epoch. ``calm`` 0.05: a
    classifier at chance varies by a few percent with its batches, fine-tuning at its floor by a
    tenth or more; ``noise`` 3.

    Stays quiet: wandering (adversaries); noise about zero (policies) and large noise (fine-tuning
    at the floor, tiny batches); whatever falls, however slowly, once it is beyond chance; a rate
    that is still warming up (role ``learning_rate``), for twice ``steps``, by when a right one
    shows; runs that log a reward, whose losses need not fall; a loss of exactly 0, or a reward
    that never changes; a run that goes on from a checkpoint, until it has gone as far as it had
    been: what came before is not seen. Cannot tell: a
    long plateau that will break by itself, or a calm model that was at its best from the beginning;
    hence for information only. Misses: regressions whose batches differ by more than ``calm``.

    Source: our reasoning; ln(classes) is the cross-entropy of guessing.
    """

    of: Literal["loss", "reward"] = field(
        default="loss",
        metadata={"unit": "choice", "choices": ("loss", "reward"), "doc": "what the series is"},
    )
    points: int = field(
        default=100, metadata={"unit": "points", "doc": "points needed before judging"}
    )
    steps: int = field(
        default=300, metadata={"unit": "steps", "doc": "steps needed before judging"}
    )
    calm: float = field(
        default=0.05, metadata={"unit": "ratio", "doc": "greatest noise over the level"}
    )
    noise: float = field(
        default=3.0, metadata={"unit": "ratio", "doc": "distance of the start over the noise"}
    )

    name: ClassVar[str] = "not_learning"
    context: ClassVar[tuple[str, ...]] = ("learning_rate", "reward")
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("of", self.of in {"loss", "reward"}, "loss or reward")
        check("points", self.points >= 24, "at least 24 points")
        check("steps", self.steps >= 1, "at least 1 step")
        check("calm", self.calm > 0, "more than 0")
        check("noise", self.noise > 0, "more than 0")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        bins = bins_of(curve)
        n = len(bins)
        seen = float(bins.steps[-1]) - curve.first_step if n else 0.0
        if n < 24 or bins.points < min(self.points, _EPOCHS) or seen < curve.first_step:
            return UNKNOWN
        if self.of == "reward":
            return self._reward(bins) if seen >= self.steps else UNKNOWN
        level, noise = middle(bins.mean), bins.noise()
        if not (guessing(level) and noise < _STILL * level and _slow(curve)):
            half = 0.5 if guessing(level) else 1.0
            if bins.points < half * self.points or seen < half * self.steps:
                return UNKNOWN
        if rewarded(curve) or (seen < 2 * self.steps and rising(curve)):
            return UNKNOWN
        if level == 0 or noise > self.calm * abs(level):
            return OK
        head = middle(bins.head)
        # A first fall to what guessing costs sets the output's bias and nothing else.
        calibrated = guessing(level) > 0 and level < head < _CALIBRATED * level
        if abs(head - level) > self.noise * noise and not calibrated:
            return OK
        sixth = n // 6
        parts = bins.mean[n - 6 * sixth :].reshape(6, sixth)
        medians = np.sort(parts, axis=1)[:, sixth // 2]
        white = noise / bins.per_bin**0.5
        # Batches that repeat make noise that is not white; it must not be taken for progress.
        scatter = max(white, min(SIGMA * middle(np.abs(bins.mean - level)), 2 * white))
        chance = 3.5 * 1.25 * scatter / sixth**0.5
        if float(np.abs(medians - level).max()) > chance:
            return OK
        return Verdict(Health.BAD, _seen(bins, level, noise))

    def _reward(self, bins: Bins) -> Verdict:
        """Of a reward, whose size and noise have no measure."""
        if bins.points < self.points:
            return UNKNOWN
        size, noise = len(bins) // 12, bins.noise()
        parts = np.sort(bins.mean[len(bins) - 12 * size :].reshape(12, size), axis=1)
        medians = parts[:, size // 2]
        level = middle(medians)
        scatter = SIGMA * middle(np.abs(medians - level))
        first = max(abs(medians[0] - level), abs(middle(bins.head) - level) - 2 * noise)
        if noise == 0 or abs(tau(medians)) >= 0.3 or first > self.noise * scatter:
            return OK
        seen = (
            f"the reward has stayed at {number(level)} (noise {number(noise)}) from step "
            f"{int(bins.steps[0])} to step {int(bins.steps[-1])}"
        )
        return Verdict(Health.BAD, Evidence(level, seen, int(bins.steps[0])))


def _slow(curve: Curve) -> bool:
    """A second or more from point to point, as epochs take."""
    took = float(curve.wall_times[-1] - curve.wall_times[0])
    return took >= float(curve.count - curve.per_bin)


def rising(curve: Curve) -> bool:
    """The learning rate has not been up for half of the run: it is warming up."""
    rates: Floats = curve.context.get("learning_rate", np.empty(0))
    known = rates[np.isfinite(rates)]
    return len(known) > 0 and middle(known) < 0.8 * float(known[-1])


def guessing(level: float, within: float = 0.01) -> int:
    """How many classes, all as likely, a cross-entropy of ``level`` guesses among; 0: none.

    The fewest that are so near. Beyond ten the logarithms are so close that only round numbers
    say anything.
    """
    return min(_near(level, within), default=0)


def guessed(level: float, within: float) -> int:
    """The most classes that are so near; 0: none."""
    return max(_near(level, within), default=0)


def _near(level: float, within: float) -> set[int]:
    return {k for k in _CLASSES if abs(level - math.log(k)) <= within * math.log(k)}


_EPOCHS, _STILL = 40, 0.005
"""So many points, if they are epochs; and that is what they are if they differ by so little and
come slowly. Only slow ones: the batches of a network that has just been made differ as little,
since it tells all inputs much the same, and a small network takes a hundred of them to learn."""
_CALIBRATED = 1.5
"""Times what guessing costs: outputs of a standard deviation of 1 cost about a half more."""
_CLASSES = (*range(2, 11), 100, 1000)


def _seen(bins: Bins, level: float, noise: float) -> Evidence:
    classes = guessing(level)
    named = f", about ln({classes}), that of guessing among {classes} classes" if classes else ""
    onset = int(bins.steps[0])
    seen = (
        f"the loss has stayed at {number(level)}{named} (noise {number(noise)}) from the first "
        f"point, step {onset}, to step {int(bins.steps[-1])}"
    )
    return Evidence(level, seen, onset)
