"""A loss that bounces instead of falling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.above_chance import worse_than_guessing
from monitor.detectors.grown_wild import grown_wild
from monitor.detectors.rewards import rewarded
from monitor.detectors.ringing import rings
from monitor.detectors.robust import Bins, at_quantile, bins_of, check, fold, middle, number
from monitor.detectors.swings import calmness, cycles, largest, structure
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class Oscillation:
    """A loss that bounces instead of falling: the learning rate is probably too high.

    Sees the whole curve. How large the noise is says nothing, since tiny batches, adversaries and
    games are noisy and well; what counts is its order in time. Bad in seven cases:

    * *alternates*: over the last half, successive points are anticorrelated by more than
      ``alternation`` and than chance allows (5 / sqrt(points)), with swings of ``swing`` times
      all that was gained and larger than what the half gained. White noise has correlation 0;
      a step too long for the valley overshoots to the other side each time.
    * *was thrown*: within the first quarter the loss was thrown above its start by ``kick``
      times the largest excursion of the last half, 10 times its noise and 1.2 ``kick`` times
      the noise of that quarter, by the first updates or over several points, and it has been stuck
      about where it started since, or wholly above that. Told from 40 points on where it was
      thrown 100 times as far as it has gone since.
    * *swings*: over the last quarter it swings, slowly or alternating (correlation beyond
      0.5 either way), by ``swing`` times all that was gained, above its start and back to
      its best, at least six times, and by ``growth`` times the noise of its first points (by
      twice as much if it was half as wild in the first quarter).
    * *is periodic*: over the last half it swings smoothly (noise below 0.7 of the swings' standard
      deviation) by half of ``swing`` times all that was gained, in sixteen turns or more whose
      lengths spread by less than 0.15 of their mean (those of wandering noise spread by about
      their mean), without a trend, and not while the learning rate is known to change. Over the
      last three quarters seven turns will do, of even less noise (0.5) and spread (0.1): too much
      momentum rings from the start.
    * *was thrown again*: it is no better than at its start, and over the last half it was
      thrown up six times or more, for several points each, by 40 times what its lower quartile
      scatters downwards (log-normal noise needs a width of more than 1 for as much).
    * *is worse than guessing*: a classifier that began near the logarithm of its 2 to 10, 100 or
      1000 classes has been at least 3 % above it ever since the first eighth of 200 points or
      more, and was thrown far above that at first. Labels that say nothing cost a percent.
    * *has grown wild*: over the last quarter it swings, in whatever order, by twice ``growth``
      times its scatter in the first quarter, by ``swing`` times all that was gained and to above
      its start, about a level that has moved by less than that; in runs that log no reward.

    Defaults: ``alternation`` 0.5 is 5 standard errors at 100 points; ``swing`` 1: what was gained
    is lost in every swing; at the edge of stability full-batch losses alternate as well, by a few
    percent of what they gain. ``kick`` 6: rates 100 times too high gave 8 to 1000 in small
    networks; with heavy tails and a falling loss, 4 was seen by chance. ``growth`` 5.
    ``points`` 64, for any of it to be more than chance.

    Stays quiet: minibatch noise without order in time, of any size and tail; fine-tuning about a
    level; spikes that recover; cyclic rates (they swing by less than was gained and do not
    pass the start); adversaries and games that wander; a catapult that then learns.

    Source: the article behind the rules (a wild loss: lower the learning rate); Cohen et al.,
    ICLR 2021, for the edge of stability; Lewkowycz et al., 2020, for the catapult; the seven cases
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
    context: ClassVar[tuple[str, ...]] = ("learning_rate", "reward")
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
        if bins.points < min(self.points, _FAR) or len(bins) < 24 or len(bins.head) < 8:
            return UNKNOWN
        half, quarter = slice(len(bins) // 2, None), slice(3 * len(bins) // 4, None)
        mean = bins.mean[half]
        level = middle(mean)
        start = float(bins.head[0])
        if self._calm(bins, level, start):
            return OK
        noise = bins.noise(half)
        if bins.points < self.points and not _far(bins, half, level, start):
            return UNKNOWN
        rates = curve.context.get("learning_rate", _NONE)
        rates = rates[np.isfinite(rates)]
        recent = rates[len(rates) // 2 :]
        # A rate that goes up and down takes the loss with it.
        steady = not len(recent) or float(recent.max()) <= 1.5 * float(recent.min())
        found = (
            self._alternates(bins, half, level, start)
            or self._kicked(bins, half, level, noise, start)
            or self._swings(bins, quarter, middle(bins.mean[quarter]), start)
            or (steady and rings(bins, start, 0.5 * self.swing))
            or self._kicked_again(bins, half, level, noise, start)
            or worse_than_guessing(bins, level, start)
            or (not rewarded(curve) and grown_wild(bins, start, 2 * self.growth, self.swing))
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
        none of the first cases can be.
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
        # Noise that shrinks, as batches grow or a rate falls, was large at first.
        far = height >= 100 * later
        if not far and height < 1.2 * self.kick * bins.noise(slice(0, early)):
            return None
        # Still coming down since the second quarter: slow, but not stuck, if below its start.
        before = bins.mean[early : half.start]
        chance = 3 * 1.25 * noise / (len(before) * bins.per_bin) ** 0.5
        falls = middle(before) - level > max(chance, 0.5 * noise)
        if falls and float(bins.low[half].min()) <= start:
            return None
        # The first updates threw it, or it took several steps to come down, or it was thrown again
        # and again: a heavy-tailed loss has lone spikes anywhere, and that the eight highest are
        # all in the first quarter, none in the last half, happens to one in 3**8.
        excess = bins.mean[at : at + bins.bins(6)] - level
        lone = float(excess.sum()) * bins.per_bin < 1.6 * height
        at_once = float(bins.head[:4].max()) >= float(bins.high[at])
        far = far and bins.points >= 4 * self.points
        again = int((bins.high[:early] > level + later).sum()) >= 8
        if lone and not at_once and not far and not again:
            return None
        return float(bins.high[at]), (
            f"the loss was thrown from {number(start)} up to {number(float(bins.high[at]))} by "
            f"step {int(bins.steps[at])} and has been stuck at about {number(level)} ever since, "
            f"now at step {int(bins.steps[-1])}"
        )

    def _kicked_again(
        self, bins: Bins, half: slice, level: float, noise: float, start: float
    ) -> tuple[float, str] | None:
        """Thrown far above a start that it never left, again and again, each time for points."""
        if start - level > 2 * noise:
            return None
        mean = bins.mean[half]
        level = at_quantile(mean, 0.25)
        up = bins.high[half] - level
        least = 40 * (level - at_quantile(bins.low[half], 0.05))
        at = np.flatnonzero(up > least)
        if len(at) < 6 or least <= 0 or 4 * len(at) > len(mean):
            return None
        width = bins.bins(6)
        kicks = at[np.diff(at, prepend=-width) >= width]
        kicks = kicks[kicks + width <= len(mean)]
        late = int((kicks >= len(mean) // 2).sum())
        if len(kicks) < 6 or not 2 <= late <= len(kicks) - 2:
            return None
        # A heavy tail makes lone spikes; who was thrown takes steps to come back.
        excess = (mean[kicks[:, None] + np.arange(width)] - mean.mean()).sum(axis=1)
        if middle(excess * bins.per_bin / up[kicks]) < 1.6:
            return None
        height = middle(up[kicks])
        return height, (
            f"the loss has been thrown up by about {number(height)} over {number(level)}, where it "
            f"began, {len(kicks)} times in the last half of the run up to step "
            f"{int(bins.steps[-1])}, and has gained nothing"
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
        # As wild ever since, wandering is calm for eight points by chance.
        if size < 2 * self.growth * calm and size < 2 * structure(bins, slice(len(bins) // 4))[0]:
            return None
        return size, (
            f"the loss swings by about {number(2.8 * size)} around {number(level)} up to step "
            f"{int(bins.steps[-1])}, {fold(size / max(calm, 1e-300))} the noise of the first "
            f"points, having gained {number(gain)}"
        )


_NONE: Floats = np.empty(0)

_FAR = 40
"""Points that will do where it was thrown a hundred times as far as it has gone since."""


def _far(bins: Bins, half: slice, level: float, start: float) -> bool:
    since = float(bins.high[half].max()) - level + abs(start - level)
    return float(bins.high.max()) - level > 100 * since
