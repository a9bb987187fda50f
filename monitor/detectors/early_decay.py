"""A learning rate that was lowered while the loss was still falling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.robust import SIGMA, Bins, bins_of, check, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class EarlyDecay:
    """A learning rate that fell while the loss was still falling, whereupon the loss stood still.

    Sees the whole curve and the learning rate (role ``learning_rate``) as of each bin. The rate
    counts as gone when it is below ``decayed`` of its greatest value for good. What was learnt
    up to then is measured against the rate spent, the sum of rates over steps, which makes a
    decay at each step and one in stairs the same: it is cut into quarters in which as much of it
    was spent, and a level is the median of a quarter. Bad where

    * the rate has been gone for at least ``gone`` of the run so far,
    * the loss was falling when it went: the last quarter lies below the third by more than three
      standard errors, and by ``falling`` of what the last lies below the first; a straight line
      has 0.33 there, a loss that has come to its floor exponentially 0.1 or less;
      it is also worth a word: 0.06 of all that was gained from the first points on; and below the
      first loss: what was thrown up and came down again has learnt nothing. Of a loss that is
      never negative a quarter of itself will do for ``falling``, if it is half as much worth and
      the rate went twice as early, in half of what ``gone`` leaves: however far it had come
      before, what loses a quarter in a quarter is not at its floor,
    * since then it fell by less than ``kept`` times that, and the loss stands still: the last half
      of the time since brought less than a fifth of that.

    A rate that has been below a thousandth of its greatest for as long teaches nothing: it is
    enough that the loss was not surely at its floor before (its fall and two standard errors),
    stands still and is not all but zero; or that the rate was zero after the first eight of forty
    bins, when no fall can be measured.

    Defaults: ``decayed`` 0.2: a step to a tenth, or two to a half and a third; ``gone`` 0.45: a
    cosine or a line to zero is that low for its last 30 % or 20 %, a one-cycle for 21 %, a tail
    for 15 %, stairs at 60 % for 40 %; ``falling`` 0.15: an exponential that had 2.5 time constants
    has fallen to a tenth; ``kept`` 2: at the full rate a loss that falls so brings three times as
    much or more, while stairs at the right time drop it farther; ``points`` 24,
    of which four came before: of epochs that is enough, if they differ by little noise.

    Stays quiet: schedules that end low; warm-up; stairs that lower the loss; a loss that had
    bent towards its floor before the decay; a loss that falls on at the low rate; unknown rates.

    Source: the case study of "Practical Advice for Building Deep Neural Networks" (BYU PCC
    lab); how falling and standing still are told is our reasoning.
    """

    decayed: float = field(
        default=0.2, metadata={"unit": "ratio", "doc": "rate over its greatest that is gone"}
    )
    gone: float = field(
        default=0.45, metadata={"unit": "ratio", "doc": "part of the run at such a rate"}
    )
    falling: float = field(
        default=0.15, metadata={"unit": "ratio", "doc": "last quarter's gain over that of all"}
    )
    kept: float = field(
        default=2.0, metadata={"unit": "ratio", "doc": "gain since over the last quarter's"}
    )
    points: int = field(
        default=24, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "early_decay"
    context: ClassVar[tuple[str, ...]] = ("learning_rate",)
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("decayed", 0 < self.decayed < 1, "between 0 and 1")
        check("gone", 0 < self.gone < 1, "between 0 and 1")
        check("falling", 0 < self.falling < 1, "between 0 and 1")
        check("kept", self.kept > 0, "more than 0")
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
        if top <= 0 or not len(high):
            return OK
        gone = (n - 1 - int(high[-1])) / n
        if gone < self.gone:
            return OK
        bins = bins_of(curve)
        at = int(high[-1]) + 1
        if len(bins) != n:
            return UNKNOWN
        over = np.flatnonzero(rates > _NOTHING * top)
        dead = n - 1 - int(over[-1]) >= self.gone * n
        if at < _FEW:
            return self._brief(curve, bins, at, dead, (float(rates[-1]), top))
        mean, since = bins.mean, bins.mean[at:]
        spent = np.cumsum(rates[:at] * np.diff(bins.steps[:at], prepend=float(curve.first_step)))
        first, third, last, error = _quarters(bins, spent)
        fell, gained = third - last, first - last
        # What came within the first steps counts, too: a loss that was all but flat since then
        # has a last quarter that is the lowest of them by chance.
        worth = _WORTH * (middle(bins.head) - last)
        shrank = fell > max(3 * error, _SHRANK * third, 0.5 * worth) and bins.low.min() >= 0
        shrank = shrank and gone >= (1 + self.gone) / 2
        if dead and _left(bins):
            # Nothing is learnt any more: it had to be surely at its floor before.
            falling = fell + 2 * error >= self.falling * gained
        else:
            falling = fell > 3 * error and fell >= self.falling * gained
            falling = falling and (dead or fell >= worth)
        if not (falling or shrank) or _thrown(bins, at, last, error):
            return OK
        width = max(2, len(since) // 4)
        now = middle(mean[-width:])
        half = middle(since[len(since) // 2 :][:width]) - now
        if half > 0.2 * max(fell, 0.0) + error or (not dead and last - now > self.kept * fell):
            return OK
        return self._bad(curve, at, (third, last, now), (float(rates[-1]), top))

    def _brief(
        self, curve: Curve, bins: Bins, at: int, dead: bool, facts: tuple[float, float]
    ) -> Verdict:
        """The rate went before it can be told how the loss fell: to zero, that is too soon.

        To less, it may have been far too high at first.
        """
        n = len(bins)
        if not dead or facts[0] > 1e-9 * facts[1] or not _left(bins) or n < 40 or at > n // 5:
            return UNKNOWN
        since = bins.mean[n // 2 :]
        first, now = middle(since[: len(since) // 2]), middle(since[len(since) // 2 :])
        chance = bins.noise(slice(n // 2, n)) * 3.5 / (len(since) * bins.per_bin) ** 0.5
        if first - now > chance:
            return OK
        start = float(bins.head[0])
        return self._bad(curve, at, (start, float(bins.mean[max(at - 1, 0)]), now), facts)

    def _bad(
        self,
        curve: Curve,
        at: int,
        levels: tuple[float, float, float],
        facts: tuple[float, float],
    ) -> Verdict:
        third, last, now = levels
        rate, top = facts
        onset = int(curve.steps[at])
        seen = (
            f"the learning rate fell from {number(top)} to {number(rate)}, most of it by step "
            f"{onset}, while the loss was falling: the last of what had been spent of the "
            f"rate took it from {number(third)} to {number(last)}, all the time since to "
            f"{number(now)} at step {int(curve.steps[-1])}"
        )
        return Verdict(Health.BAD, Evidence(now, seen, onset))


_FEW = 4
"""Points before the decay that tell how the loss fell: one a quarter."""
_NOTHING = 1.001e-3
"""Over its greatest: at such a rate nothing is learnt. Three steps to a tenth, and rounding."""


def _left(bins: Bins) -> bool:
    """A loss that is not all but zero: there would be something to learn."""
    return float(bins.low.min()) < 0 or middle(bins.mean[-8:]) > 0.02 * float(bins.head[0])


_WORTH = 0.06
"""Part of all that was gained; a quarter that brought less is not worth a word."""
_SHRANK = 0.25
"""Part of itself. Schedules that are usual lower the rate at a third of the run or later, where
many a loss that falls by such parts still does so, and would fall on for as long as one likes."""


def _quarters(bins: Bins, spent: Floats) -> tuple[float, float, float, float]:
    """Levels of the first, third and last quarter of the rate spent [at], and the standard error
    of the difference between the last two.
    """
    at = len(spent)
    a, b, c = (int(i) for i in np.searchsorted(spent, np.array([0.25, 0.5, 0.75]) * spent[-1]))
    first, third, last = bins.mean[: max(a, 1)], bins.mean[b : max(c, b + 1)], bins.mean[c:at]
    parts = (1 / len(third) + 1 / len(last)) / bins.per_bin
    error = _noise(bins, at) * 1.25 * parts**0.5
    return middle(first), middle(third), middle(last), error


def _thrown(bins: Bins, at: int, last: float, error: float) -> bool:
    """By a rate that was far too high at first; to have come back from there is no learning.

    It has surely gained nothing, or less than it was up for most of the time.
    """
    start = float(bins.head[0])
    return last + error > start or middle(bins.mean[:at]) - start > start - last


def _noise(bins: Bins, at: int) -> float:
    """Of a point before ``at``. A loss that falls from epoch to epoch by more than its noise shows
    that in the bends of its curve, of which there may be few, and in what came since.
    """
    before = bins.noise(slice(0, at))
    if bins.per_bin > 1:
        return before
    bends = np.abs(np.diff(bins.mean[:at], n=2))
    return min(before, max(SIGMA * middle(bends) / 6**0.5, bins.noise(slice(at, None))))
