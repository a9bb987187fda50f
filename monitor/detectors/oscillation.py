"""A loss that bounces instead of falling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.robust import (
    SIGMA,
    Bins,
    at_quantile,
    bins_of,
    blocks,
    check,
    fold,
    middle,
    number,
)
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Ints, Verdict


@dataclass(frozen=True)
class Oscillation:
    """A loss that bounces instead of falling: the learning rate is probably too high.

    Sees the whole curve. How large the noise is says nothing, since tiny batches, adversaries and
    games are noisy and well; what counts is its order in time. Bad in four cases:

    * *alternates*: over the last half, successive points are anticorrelated by more than
      ``alternation`` and than chance allows (5 / sqrt(points)), with swings of ``swing`` times
      all that was gained and larger than what the half gained. White noise has correlation 0;
      a step too long for the valley overshoots to the other side each time.
    * *was thrown*: within the first quarter the loss was thrown above its start by ``kick``
      times the largest excursion of the last half (and 10 times its noise), by the first
      updates or over several points, and it has been stuck about where it started since.
    * *swings*: over the last quarter it swings, slowly or alternating (correlation beyond
      0.5 either way), by ``swing`` times all that was gained, above its start and back to
      its best, at least six times, and by ``growth`` times the noise of its first points.
    * *is periodic*: over the last half it swings smoothly (noise below 0.7 of the swings' standard
      deviation) by half of ``swing`` times all that was gained, in sixteen turns or more whose
      lengths spread by less than 0.15 of their mean (those of wandering noise spread by about
      their mean), without a trend, and not while the learning rate is known to change.

    Defaults: ``alternation`` 0.5 is 5 standard errors at 100 points; ``swing`` 1: what was gained
    is lost in every swing; at the edge of stability full-batch losses alternate as well, by a few
    percent of what they gain. ``kick`` 6: rates 100 times too high gave 8 to 1000 in small
    networks; with heavy tails and a falling loss, 4 was seen by chance. ``growth`` 5.
    ``points`` 64, for any of it to be more than chance.

    Stays quiet: minibatch noise without order in time, of any size and tail; fine-tuning about a
    level; spikes that recover; cyclic rates (they swing by less than was gained and do not
    pass the start); adversaries and games that wander; a catapult that then learns.

    Source: the article behind the rules (a wild loss: lower the learning rate); Cohen et al.,
    ICLR 2021, for the edge of stability; Lewkowycz et al., 2020, for the catapult; the four cases
    are our reasoning.
    """

    alternation: float = field(
        default=0.5,
        metadata={"unit": "ratio", "doc": "how strongly successive points alternate, 0 to 1"},
    )
    swing: float = field(
        default=1.0,
        metadata={"unit": "ratio", "doc": "size of the swings over all that was gained"},
    )
    growth: float = field(
        default=5.0,
        metadata={"unit": "ratio", "doc": "swings over the noise of the first points"},
    )
    kick: float = field(
        default=6.0, metadata={"unit": "ratio", "doc": "first kick over all excursions since"}
    )
    points: int = field(
        default=64, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "oscillation"
    context: ClassVar[tuple[str, ...]] = ("learning_rate",)
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("alternation", 0 < self.alternation < 1, "between 0 and 1")
        check("swing", self.swing > 0, "more than 0")
        check("growth", self.growth > 1, "more than 1")
        check("kick", self.kick > 1, "more than 1")
        check("points", self.points >= 32, "at least 32 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        bins = bins_of(curve)
        if bins.points < self.points or len(bins) < 24 or len(bins.head) < 8:
            return UNKNOWN
        half, quarter = slice(len(bins) // 2, None), slice(3 * len(bins) // 4, None)
        mean = bins.mean[half]
        level = middle(mean)
        start = float(bins.head[0])
        if self._calm(bins, level, start):
            return OK
        noise = bins.noise(half)
        rates = curve.context.get("learning_rate", _NONE)
        rates = rates[np.isfinite(rates)]
        recent = rates[len(rates) // 2 :]
        # A rate that goes up and down takes the loss with it.
        steady = not len(recent) or float(recent.max()) <= 1.5 * float(recent.min())
        found = (
            self._alternates(bins, half, level, start)
            or self._kicked(bins, half, level, noise, start)
            or self._swings(bins, quarter, middle(bins.mean[quarter]), start)
            or (steady and self._periodic(bins, half, start))
            or None
        )
        if found is None:
            return OK
        value, seen = found
        facts = {"learning_rate": number(float(rates[-1]))} if len(rates) else {}
        if facts:
            seen += f"; the learning rate is {facts['learning_rate']}"
        onset = int(bins.steps[0])
        return Verdict(Health.BAD, Evidence(value, seen, onset, facts=facts))

    def _calm(self, bins: Bins, level: float, start: float) -> bool:
        """Far below its start and within a narrow band: the common case, and cheap to see.

        A standard deviation is at most half of the range, and the noise at most the range, so that
        none of the four cases can be.
        """
        begin = len(bins) // 2 - 1  # roughness counts the step from the bin before
        width = float(bins.high[begin:].max() - bins.low[begin:].min())
        return 2.9 * width < min(self.swing, 1.3) * (start - level)

    def _alternates(
        self, bins: Bins, half: slice, level: float, start: float
    ) -> tuple[float, str] | None:
        """Up, down, up, down: successive points are anticorrelated beyond white noise."""
        gain = max(start - level, 0.0)
        if 2.8 * largest(bins, half) < self.swing * gain:
            return None
        size, rho = structure(bins, half)
        n = (len(bins) - len(bins) // 2) * bins.per_bin
        if rho > -max(self.alternation, 5 / n**0.5):
            return None
        quarter = len(bins.mean[half]) // 2
        trend = middle(bins.mean[half][:quarter]) - middle(bins.mean[half][-quarter:])
        if 2.8 * size < self.swing * gain or size < trend or size < 1e-4 * abs(level):
            return None
        return size, (
            f"the loss alternates from point to point by about {number(2 * size)} around "
            f"{number(level)} up to step {int(bins.steps[-1])} (correlation of successive "
            f"points {rho:.2f}), having gained {number(gain)} since the start"
        )

    def _kicked(
        self, bins: Bins, half: slice, level: float, noise: float, start: float
    ) -> tuple[float, str] | None:
        """Thrown far above the start within the first steps, then stuck about where it began."""
        if start - level > 2 * noise:
            return None
        early = max(1, len(bins) // 4)
        at = int(np.argmax(bins.high[:early]))
        height = float(bins.high[at]) - level
        if height <= 0.2 * abs(level):
            return None
        later = max(float(bins.high[half].max()) - level, abs(start - level))
        if height < 10 * noise or height < self.kick * later:
            return None
        # Still coming down since the second quarter: slow, but not stuck.
        before = bins.mean[early : half.start]
        chance = 3 * 1.25 * noise / (len(before) * bins.per_bin) ** 0.5
        if middle(before) - level > max(chance, 0.5 * noise):
            return None
        # The first updates threw it, or it took several steps to come down, or it was thrown again
        # and again: a heavy-tailed loss has lone spikes anywhere, and that the eight highest are
        # all in the first quarter, none in the last half, happens to one in 3**8.
        excess = bins.mean[at : at + bins.bins(6)] - level
        lone = float(excess.sum()) * bins.per_bin < 1.6 * height
        first = float(bins.head[:4].max()) >= float(bins.high[at])
        far = height >= 100 * later and bins.points >= 4 * self.points
        again = int((bins.high[:early] > level + later).sum()) >= 8
        if lone and not first and not far and not again:
            return None
        return float(bins.high[at]), (
            f"the loss was thrown from {number(start)} up to {number(float(bins.high[at]))} by "
            f"step {int(bins.steps[at])} and has been stuck at about {number(level)} ever since, "
            f"now at step {int(bins.steps[-1])}"
        )

    def _swings(
        self, bins: Bins, recent: slice, level: float, start: float
    ) -> tuple[float, str] | None:
        """Swings as large as all that was gained, far larger than the noise at the start."""
        high = at_quantile(bins.high[recent], 0.9)
        if bins.points < 2 * self.points or high < start:
            return None
        size, rho = structure(bins, recent)
        if abs(rho) < 0.5:
            return None
        mean = bins.mean[recent]
        best = at_quantile(bins.mean, 0.05)
        gain = max(start - best, 0.0)
        calm = calmness(bins.head)
        if 2.8 * size < self.swing * gain or size < self.growth * calm:
            return None
        k = len(mean) // 2
        if middle(mean[:k]) - middle(mean[-k:]) > 0.5 * size:
            return None
        if high < start + 0.5 * size:
            return None
        if at_quantile(bins.low[recent], 0.2) > best + size or cycles(bins, recent, level) < 6:
            return None
        return size, (
            f"the loss swings by about {number(2.8 * size)} around {number(level)} up to step "
            f"{int(bins.steps[-1])}, {fold(size / max(calm, 1e-300))} the noise of the first "
            f"points, having gained {number(gain)}"
        )

    def _periodic(self, bins: Bins, part: slice, start: float) -> tuple[float, str] | None:
        """Smooth swings of an even period, from wherever it began, and nothing gained by them."""
        mean = bins.mean[part]
        gain = max(start - at_quantile(bins.mean, 0.05), 0.0)
        if 2.8 * largest(bins, part) < 0.5 * self.swing * gain:
            return None
        level = float(mean.mean())
        size = float(mean.std())
        if 2.8 * size < 0.5 * self.swing * gain or size < 1e-4 * abs(level):
            return None
        if bins.noise(part) > 0.7 * size:
            return None
        k = len(mean) // 2
        if abs(float(mean[:k].mean() - mean[-k:].mean())) > 0.5 * size:
            return None
        turns = np.diff(crossings(mean - level, 0.5 * size))
        if len(turns) < 15 or float(turns.std()) > 0.15 * float(turns.mean()):
            return None
        period = 2 * float(turns.mean()) * bins.per_bin
        return size, (
            f"the loss swings by about {number(2.8 * size)} around {number(level)} with an even "
            f"period of about {number(period)} points up to step {int(bins.steps[-1])}, having "
            f"gained {number(gain)} since the start"
        )


_NONE: Floats = np.empty(0)


def largest(bins: Bins, part: slice) -> float:
    """No standard deviation of 16 points or more of this part is larger.

    It is at most half of their range (Popoviciu), times 16/15 under the root for that of a sample.
    Costs a tenth of :func:`structure`, and of a loss that has fallen far it says enough.
    """
    return 0.52 * float(bins.high[part].max() - bins.low[part].min())


def structure(bins: Bins, part: slice) -> tuple[float, float]:
    """Standard deviation of the points around short means, and their lag-1 correlation.

    From stretches of at least 16 points, of which the median is taken: a spike or a slow trend
    touches few or none. White noise has correlation 0, alternation -1, slow swings near 1.
    """
    group = max(1, -(-16 // bins.per_bin))
    mean, spread, rough = bins.mean[part], bins.spread[part], bins.rough[part]
    n = len(mean) // group
    if not n:
        return 0.0, 0.0
    count = group * bins.per_bin
    if group == 1:
        inside, jumps = spread * spread, rough * rough
    else:
        mean, spread, rough = (blocks(column, group) for column in (mean, spread, rough))
        inside = (spread * spread).mean(axis=1) + mean.var(axis=1)
        # Of single points without the jump across the border.
        between = np.diff(mean, axis=1) if bins.per_bin == 1 else rough
        jumps = (between * between).mean(axis=1)
    variance = inside * count / (count - 1)
    good = variance > 0
    if not good.any():
        return 0.0, 0.0
    rho = 1.0 - middle(np.minimum(jumps[good] / (2.0 * variance[good]), 2.0))
    return middle(variance) ** 0.5, rho


def calmness(head: Floats) -> float:
    """Noise of the first points, before a kick: the calmest recent of what was logged first."""
    first = head[: max(4, len(head) // 2)]
    return SIGMA * middle(np.abs(first - middle(first)))


def cycles(bins: Bins, part: slice, level: float) -> int:
    """How often the bins cross the level, recent a standard deviation either way."""
    mean = bins.mean[part] - level
    if middle(bins.spread[part]) > float(mean.std()):
        return len(mean)  # the swings are shorter than a bin
    return len(crossings(mean, 0.5 * float(mean.std())))


def crossings(values: Floats, band: float) -> Ints:
    """Where the values have come from below -band to above band, or back."""
    side = np.where(values > band, 1, np.where(values < -band, -1, 0))
    outside = np.flatnonzero(side)
    changed = np.flatnonzero(np.diff(side[outside]) != 0) + 1
    return outside[changed]
