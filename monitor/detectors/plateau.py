"""A loss that improved and has then been flat for a large part of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.rewards import rewarded
from monitor.detectors.robust import (
    SIGMA,
    Bins,
    at_quantile,
    bins_of,
    check,
    middle,
    midmean,
    number,
)
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class Plateau:
    """A loss that improved, then stopped at a noise floor, at an undiminished learning rate.

    Sees the whole curve. Its last ``flat`` (a share of the run so far) is cut into three. With the
    standard error of a third's midmean (the mean of its middle half), bad where the first and the
    last third differ by no more than chance (two standard errors), where that difference and two
    standard errors more are below ``hidden`` of the noise from point to point or ``drift`` of the
    improvement since the start (of three times the loss, if that is less), and where the middle
    third hangs neither below nor above them. What is left must be white noise of at least
    ``noise`` of that improvement, or nothing: a loss that bounces along the bottom of its ditch is
    what a lower learning rate helps, and one that does not move at all has no gradient.

    A loss that came down early has stood still for longer, and more points say more: the same
    where it has changed by less than twice ``drift`` over three quarters of the run (over ``flat``
    and half of what is left).

    Defaults: ``flat`` 0.5: half of the run was for nothing. ``hidden`` 0.45: half of what one
    batch differs from the next is seen by nobody, whatever was gained before; to be sure of it
    takes some 380 points, whatever the noise; at 0.5 cosines whose rate is not logged look flat
    half-way. ``drift`` 0.01 sees losses with little noise sooner, from some 80 points on (epochs)
    where the noise is 0.02 of the improvement. ``noise`` 0.01, of that improvement or of three
    times the loss, if that is less: losses at a floor showed 0.016 to 0.3, the plateau at ln 10 and
    most autoencoders, which creep on, less. ``decayed`` 0.5: a cosine is
    there at half time. ``points`` 20, for losses logged once per epoch.

    Stays quiet: while the learning rate (role ``learning_rate``) is below ``decayed`` of its
    greatest value, or changed during the flat part: the remedy has been tried; converged within 1 %
    of the start, for positive losses (a tenth of the error that is squared); a loss that never
    improved (three times its noise, and by two from the first 16 points); slow improvement beyond
    chance; a plateau without noise, such as the one at ln 10 before a classifier takes off; noise
    that is skewed upwards (tiny batches, games), whose size follows the loss and hides how it
    falls. Cannot tell: a floor of the rate from that of the task, which no rate goes below (labels
    that are wrong by chance), nor from the middle of a schedule that is not logged; hence for
    information only. Runs that log a reward are not judged: their losses need not fall.

    Source: the article behind the rules: mostly no decay with Adam, but one sudden drop a short
    while before the end. What counts as flat is our reasoning.
    """

    flat: float = field(
        default=0.5, metadata={"unit": "ratio", "doc": "share of the run without improvement"}
    )
    drift: float = field(
        default=0.01,
        metadata={"unit": "ratio", "doc": "change, over the whole improvement, that is still flat"},
    )
    hidden: float = field(
        default=0.45,
        metadata={"unit": "ratio", "doc": "change, over the noise, that is still flat"},
    )
    noise: float = field(
        default=0.01,
        metadata={"unit": "ratio", "doc": "least noise, over the whole improvement"},
    )
    decayed: float = field(
        default=0.5,
        metadata={"unit": "ratio", "doc": "learning rate, over its greatest, that is decayed"},
    )
    points: int = field(
        default=20, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "plateau"
    context: ClassVar[tuple[str, ...]] = ("learning_rate", "reward")
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("flat", 0.1 <= self.flat <= 0.9, "between 0.1 and 0.9")
        check("drift", 0 < self.drift < 1, "between 0 and 1")
        check("hidden", 0 < self.hidden < 1, "between 0 and 1")
        check("noise", 0 <= self.noise < 1, "between 0 and 1")
        check("decayed", 0 <= self.decayed <= 1, "between 0 and 1")
        check("points", self.points >= 12, "at least 12 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        bins = bins_of(curve)
        n = len(bins)
        if bins.points < self.points or n < 12:
            return UNKNOWN
        if rewarded(curve):
            return UNKNOWN
        if self._remedied(curve):
            return OK
        start = float(bins.head[:3].max())
        half = (self.flat, self.drift, self.hidden)
        longer = ((1 + self.flat) / 2, 2 * self.drift, 0.0)
        for flat, drift, hidden in (half, longer):
            begin = n - int(flat * n)
            now, noise = middle(bins.mean[begin:]), bins.noise(slice(begin, n))
            if not _fell(bins, start, now, noise):
                continue
            # A loss of 0.4 that began at 9 is still learning if it goes to 0.3.
            worth = min(start - now, 3 * abs(now))
            allowed = max(hidden * noise, drift * worth)
            floor = noise >= self.noise * worth or float(np.ptp(bins.mean[begin:])) == 0
            if floor and _stands(bins, begin, now, noise, allowed):
                return self._bad(bins, begin, start, now, noise)
        return OK

    def _remedied(self, curve: Curve) -> bool:
        rates = curve.context.get("learning_rate", _NONE)
        flat = rates[-int(self.flat * len(rates)) :]
        rates, flat = rates[np.isfinite(rates)], flat[np.isfinite(flat)]
        if not len(flat):
            return False
        return bool(flat.min() < self.decayed * rates.max())

    def _bad(self, bins: Bins, begin: int, start: float, now: float, noise: float) -> Verdict:
        reached = np.flatnonzero(bins.mean[:begin] > now + 0.05 * (start - now))
        onset = int(bins.steps[min(int(reached[-1]) + 1, begin)]) if len(reached) else None
        low = at_quantile(bins.mean[begin:], 0.05)
        seen = (
            f"the loss fell from {number(start)} to {number(now)} and has been flat "
            f"since about step {onset} (noise {number(noise)}, lowest "
            f"{number(low)}), now at step {int(bins.steps[-1])}"
        )
        return Verdict(Health.BAD, Evidence(now, seen, onset))


_NONE: Floats = np.empty(0)

_MIDMEAN = 1.09
"""Standard error of a mean of the middle half, over that of the mean, in normal noise; that of a
median is 1.25."""


def _took_a_while(bins: Bins, start: float, now: float) -> bool:
    """A first fall within a few points is calibration of the output, not learning."""
    below, above = now + 0.1 * (start - now), start - 0.1 * (start - now)
    between = (bins.mean > below) & (bins.mean < above)
    return int(between.sum()) >= 3


def _stands(bins: Bins, begin: int, now: float, noise: float, allowed: float) -> bool:
    """Since ``begin`` there is nothing but noise about a level, changed by ``allowed`` at most."""
    tail = bins.mean[begin:]
    white = noise / math.sqrt(bins.per_bin)
    scatter = SIGMA * middle(np.abs(tail - now))
    # White noise averages out as it should; wandering does not, alternation does so faster.
    if not 0.4 * white <= scatter <= 1.5 * white:
        return False
    # Skewed noise is as large as the loss itself, and shrinks with it.
    up, down = bins.high[begin:] - tail, tail - bins.low[begin:]
    if middle(up) > 1.2 * middle(down):
        return False
    third = len(tail) // 3
    error = _MIDMEAN * max(scatter, white) * math.sqrt(2 / third)
    first, last = midmean(tail[:third]), midmean(tail[-third:])
    change = abs(first - last)
    if change > 2 * error or change + 2 * error > allowed:
        return False
    bent = midmean(tail[third:-third]) - (first + last) / 2
    return abs(bent) <= 2 * error


def _fell(bins: Bins, start: float, now: float, noise: float) -> bool:
    """It improved before it stood still, and by learning."""
    gain = start - now
    if gain < 3 * noise or gain <= 0:
        return False
    # The greatest of the first may be an extreme of skewed noise.
    if middle(bins.head) - now < 2 * noise:
        return False
    if float(bins.low.min()) >= 0 and now <= 0.01 * start:
        return False
    return _took_a_while(bins, start, now)
