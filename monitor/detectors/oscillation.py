"""A loss that bounces instead of falling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.robust import SIGMA, Bins, at_quantile, bins_of, check, fold, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class Oscillation:
    """A loss that bounces instead of falling: the learning rate is probably too high."""

    alternation: float = field(
        default=0.5,
        metadata={"unit": "ratio", "doc": "how strongly successive points alternate, 0 to 1"},
    )
    swing: float = field(
        default=0.5, metadata={"unit": "ratio", "doc": "size of the swings over the improvement"}
    )
    growth: float = field(
        default=5.0,
        metadata={"unit": "ratio", "doc": "swings over the noise of the first points"},
    )
    kick: float = field(
        default=4.0, metadata={"unit": "ratio", "doc": "first kick over all excursions since"}
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
        half = slice(len(bins) // 2, None)
        mean = bins.mean[half]
        level = middle(mean)
        noise = bins.noise(half)
        start = float(bins.head[0])
        found = (
            self._alternates(bins, half, level, start)
            or self._kicked(bins, half, level, noise, start)
            or self._swings(bins, half, level, start)
        )
        if found is None:
            return OK
        value, seen = found
        rates = curve.context.get("learning_rate", _NONE)
        rates = rates[np.isfinite(rates)]
        facts = {"learning_rate": number(float(rates[-1]))} if len(rates) else {}
        if facts:
            seen += f"; the learning rate is {facts['learning_rate']}"
        onset = int(bins.steps[0])
        return Verdict(Health.BAD, Evidence(value, seen, onset, facts=facts))

    def _alternates(
        self, bins: Bins, half: slice, level: float, start: float
    ) -> tuple[float, str] | None:
        """Up, down, up, down: successive points are anticorrelated beyond white noise."""
        size, rho = structure(bins, half)
        n = (len(bins) - len(bins) // 2) * bins.per_bin
        if rho > -max(self.alternation, 5 / n**0.5):
            return None
        quarter = len(bins.mean[half]) // 2
        trend = middle(bins.mean[half][:quarter]) - middle(bins.mean[half][-quarter:])
        gain = max(start - level, 0.0)
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
        if height <= 1e-6 * abs(level):
            return None
        later = max(float(bins.high[half].max()) - level, abs(start - level))
        if height < 10 * noise or height < self.kick * later:
            return None
        # The first updates threw it, or it took several steps to come down: a heavy-tailed
        # loss has lone spikes anywhere.
        excess = bins.mean[at : at + bins.bins(6)] - level
        lone = float(excess.sum()) * bins.per_bin < 1.6 * height
        if lone and float(bins.head[:4].max()) < float(bins.high[at]):
            return None
        return float(bins.high[at]), (
            f"the loss was thrown from {number(start)} up to {number(float(bins.high[at]))} by "
            f"step {int(bins.steps[at])} and has been stuck at about {number(level)} ever since, "
            f"now at step {int(bins.steps[-1])}"
        )

    def _swings(
        self, bins: Bins, half: slice, level: float, start: float
    ) -> tuple[float, str] | None:
        """Swings as large as all that was gained, far larger than the noise at the start."""
        size, rho = structure(bins, half)
        if abs(rho) < 0.5 or bins.points < 2 * self.points:
            return None
        mean = bins.mean[half]
        best = at_quantile(bins.mean, 0.05)
        gain = max(start - best, 0.0)
        calm = calmness(bins.head)
        if 2.8 * size < self.swing * gain or size < self.growth * calm:
            return None
        quarter = len(mean) // 2
        if middle(mean[:quarter]) - middle(mean[-quarter:]) > 0.5 * size:
            return None
        if at_quantile(bins.high[half], 0.9) < start + 0.5 * size:
            return None
        if at_quantile(bins.low[half], 0.2) > best + size or cycles(bins, half, level) < 6:
            return None
        return size, (
            f"the loss swings by about {number(2.8 * size)} around {number(level)} up to step "
            f"{int(bins.steps[-1])}, {fold(size / max(calm, 1e-300))} the noise of the first "
            f"points, having gained {number(gain)}"
        )


_NONE: Floats = np.empty(0)


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
    shape = (n, group)
    mean, spread, rough = (
        a[len(a) - n * group :].reshape(shape) for a in (mean, spread, rough)
    )
    count = group * bins.per_bin
    inside = (spread * spread).mean(axis=1) + mean.var(axis=1)
    variance = inside * count / (count - 1)
    if bins.per_bin == 1:
        jumps = (np.diff(mean, axis=1) ** 2).mean(axis=1)  # without the one across the border
    else:
        jumps = (rough * rough).mean(axis=1)
    good = variance > 0
    if not good.any():
        return 0.0, 0.0
    rho = 1.0 - middle(np.minimum(jumps[good] / (2.0 * variance[good]), 2.0))
    return middle(variance) ** 0.5, rho


def calmness(head: Floats) -> float:
    """Noise of the first points, before a kick: the calmest half of what was logged first."""
    first = head[: max(4, len(head) // 2)]
    return SIGMA * middle(np.abs(first - middle(first)))


def cycles(bins: Bins, part: slice, level: float) -> int:
    """How often the bins cross the level, half a standard deviation either way."""
    mean = bins.mean[part] - level
    if middle(bins.spread[part]) > float(mean.std()):
        return len(mean)  # the swings are shorter than a bin
    band = 0.5 * float(mean.std())
    side = np.where(mean > band, 1, np.where(mean < -band, -1, 0))
    side = side[side != 0]
    return int((np.diff(side) != 0).sum())
