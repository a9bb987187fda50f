"""A validation loss that rises while the training loss falls on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.robust import SIGMA, bins_of, check, middle, number, tau
from monitor.points import OK, START_PREFIX, UNKNOWN, Curve, Evidence, Floats, Health, Verdict

_START = START_PREFIX + "train_loss"


@dataclass(frozen=True)
class Overfitting:
    """A validation loss that has risen since its best, while the training loss fell on.

    Sees the whole validation curve, and the training loss (role ``train_loss``) as of each of
    its bins. The best is the lowest median of three neighbours; now is the median of the last
    three. Bad where, over at least ``after`` bins and ``part`` of the run since the best,

    * the rise is ``noise`` times the noise of one bin, which is taken from second differences,
      in which a trend does not count; from those since the best once there are four, if that is
      less, which of so few it takes as much more to say as Student's t is wider; and by
      sqrt(2 log n) more where none of the n bins had gained so much, since the best of bins that
      are alike is lowest by chance;
    * the rise is ``share`` of what validation had gained, which counts as at least a tenth of
      the best, or half as much if it is three times as clear of the noise and in order by 0.8.
      Beside a huge first loss hardly any rise would do: then what is so clear needs half of
      ``share`` of 1.5 times the best. What is less clear is a quarter of ``share`` of all that the
      training loss has come down, too: most of it before the first validation, perhaps;
    * ``order`` is reached by Kendall's tau, the share of pairs that rise less that of pairs that
      fall, and what tau has by chance once in fifty times (0.84 of five points, 0.6 of eight):
      a shift up, or noise after a lucky minimum, has little of it;
    * the training loss, where it is known, has not risen since: the median of the last third
      since the best is no higher than that of the first, by a twentieth of all that it gained.

    Defaults: ``after`` 3, since validation is logged once per epoch: eight points may do;
    ``noise`` 4 and ``order`` 0.6 together, since each alone comes about by chance after a minimum
    that was chosen as such; ``share`` 0.1: less is not worth a word, but where it is beyond all
    doubt; ``part`` 0.2 outlasts wiggles and cycles of those who validate often.

    Stays quiet: noisy or flat validation; a constant gap above training; wiggles that come back
    down; validation that rises together with training, which is divergence. Where nothing is
    known of the training loss (another directory), the rise alone decides.

    Source: early stopping's criteria as studied by Prechelt, "Early Stopping - But When?"
    (1998); tau is Kendall's.
    """

    share: float = field(
        default=0.1, metadata={"unit": "ratio", "doc": "rise over what was gained"}
    )
    noise: float = field(
        default=4.0, metadata={"unit": "ratio", "doc": "times the noise that it must have risen"}
    )
    order: float = field(
        default=0.6, metadata={"unit": "ratio", "doc": "how steadily it rises: Kendall's tau"}
    )
    part: float = field(
        default=0.2, metadata={"unit": "ratio", "doc": "part of the run since the best"}
    )
    after: int = field(
        default=3, metadata={"unit": "points", "doc": "points needed since the best"}
    )

    name: ClassVar[str] = "overfitting"
    context: ClassVar[tuple[str, ...]] = ("train_loss", _START)
    default_match: ClassVar[Mapping[str, str]] = {"role": "val_loss"}

    def __post_init__(self) -> None:
        check("share", self.share > 0, "more than 0")
        check("noise", self.noise > 0, "more than 0")
        check("order", 0 < self.order < 1, "between 0 and 1")
        check("part", 0 <= self.part < 1, "between 0 and 1")
        check("after", self.after >= 3, "at least 3 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        bins = bins_of(curve)
        n, mean = len(bins), bins.mean
        if n < self.after + 3:
            return UNKNOWN
        smooth = np.sort(np.stack((mean[:-2], mean[1:-1], mean[2:])), axis=0)[1]
        at = int(np.argmin(smooth))  # the first of the three
        best, now = float(smooth[at]), float(smooth[-1])
        since = mean[at + 1 :]
        rise = now - best
        if rise <= 0 or len(since) <= max(self.after, self.part * n):
            return OK
        chance = self._by_chance(mean, at)
        gained = float(mean[0]) - best
        if gained <= chance:
            # Of so many that are alike, one is the lowest, by as much as that on average.
            chance *= 1 + math.sqrt(2 * math.log(n)) / self.noise
        train = _column(curve)
        fell = float(train[:3].max()) - middle(train[-3:]) if len(train) >= 3 else gained
        order, worth = tau(since), self.share * max(gained, 0.1 * abs(best))
        if rise <= chance or order < max(self.order, _order_by_chance(len(since))):
            return OK
        if rise > 3 * chance and order >= max(self.order, 0.8):
            worth = 0.5 * min(worth, self.share * 1.5 * abs(best))
        else:
            worth = max(worth, 0.25 * self.share * _fallen(curve, train))
        if rise < worth:
            return OK
        if len(train) >= 3 and _rose(train, at, max(fell, 0.0)):
            return OK
        return self._bad(curve, best, now, int(bins.steps[at + 1]), train)

    def _by_chance(self, mean: Floats, at: int) -> float:
        """What noise alone may rise, since the best at ``at``."""
        bends = np.abs(mean[:-2] - 2 * mean[1:-1] + mean[2:])
        since = bends[at + 1 :]
        least = _deviation(bends)
        # A steep fall before it bends and is no noise; but few bends say little of theirs, so that
        # it takes as much more as Student's t does, by the first term: z + (z^3 + z) / 4n.
        if len(since) >= _SINCE:
            wider = 1 + (self.noise**2 + 1) / (4 * len(since))
            least = min(least, wider * _deviation(since))
        return self.noise * least

    def _bad(self, curve: Curve, best: float, now: float, onset: int, train: Floats) -> Verdict:
        seen = (
            f"the validation loss is {number(now)} at step {int(curve.steps[-1])} and has been "
            f"rising since its best, {number(best)} near step {onset}"
        )
        if len(train) >= 3:
            seen += f", while the training loss went on to {number(middle(train[-3:]))}"
        return Verdict(Health.BAD, Evidence(now, seen, onset))


_SINCE = 4
"""Bends that are enough to know the noise since the best."""


def _deviation(bends: Floats) -> float:
    """Of a point's noise, from second differences."""
    return SIGMA * middle(bends) / 6**0.5


def _order_by_chance(n: int) -> float:
    """Kendall's tau of ``n`` points without order exceeds this once in fifty times."""
    return 2.05 * math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))


def _column(curve: Curve) -> Floats:
    train = curve.context.get("train_loss", np.empty(0))
    return train if bool(np.isfinite(train).all()) else train[np.isfinite(train)]


def _fallen(curve: Curve, train: Floats) -> float:
    """All that the training loss has come down since its first point, long before the first
    validation as that may have been; 0 if nothing is known of it.
    """
    first = curve.context.get(_START, np.empty(0))
    if len(train) < 3 or not len(first) or not np.isfinite(first[-1]):
        return 0.0
    return max(float(first[-1]) - middle(train[-3:]), 0.0)


def _rose(train: Floats, at: int, fell: float) -> bool:
    """The training loss rose, too, since validation was best."""
    since = train[min(at, len(train) - 3) :]
    third = max(1, len(since) // 3)
    return middle(since[-third:]) - middle(since[:third]) > 0.05 * fell
