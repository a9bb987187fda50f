"""A loss that leaps up and comes back, once or again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from monitor.detectors.robust import Bins, bins_of, check, fold, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Ints, Verdict

_AROUND = 9
"""Bins whose median is the level at the middle one: a leap may last four of them."""


_DEAR = 4.0
"""Times all that was gained. Of healthy runs of the zoo the third highest point was 1.5 times that
above its surroundings at most, where targets have outliers 4 to 1300 times."""


@dataclass(frozen=True)
class LossSpike:
    """A loss that leaps far above its surroundings, once or again and again.

    Sees the whole curve: how far the highest point of each bin lies above the level, the median
    of nine bins. What belongs to the usual scatter is told from its own shape: with q75 and q95
    of these heights, a spike is higher than ``q95 * max((q95 / q75) ** 2.2, 4)``, times
    ``height``. For the normal distribution that is about eighteen standard deviations, and as
    much farther out as the scatter is heavier in its tail; skewed batches pull q75 and q95
    apart and raise it with them. In however heavy a tail, what costs four times all that was
    gained is a spike, where it is beyond ``7 * q95`` (of points) times ``height``. A spike must
    also be ``share`` of all that was gained, stand out by twice the scatter downwards, and lie
    behind the first twentieth (four bins at least).

    ``pattern``: *repeated* where there are ``count`` spikes or more, so that the loss has a heavy
    tail; *lasting* where the last one was not recovered from: the level of what came since is
    above that before by half of ``share`` of what was gained and by more than chance, and has
    been level for twenty bins; *single*
    where there are fewer and the loss came back; *any* of these.

    Defaults: ``height`` 1.5 and the exponent 2.2 keep log-normal noise of any width below (its
    extremes need up to 1.9); ``count`` 3: two may be an accident; ``share`` 0.25: a leap that
    costs less than a quarter of what was learnt is mild; ``points`` 100 for q95 to be known.

    Stays quiet: noise of tiny batches, bursts in more than one of twenty points, symmetric heavy
    noise (policies); the first steps; restarts of the rate and changes of curriculum, which
    are steps, not spikes: whatever stays up for more than four bins.

    Source: our reasoning; quantiles as in Tukey's letter values.
    """

    pattern: Literal["any", "single", "repeated", "lasting"] = field(
        default="any",
        metadata={
            "unit": "choice",
            "choices": ("any", "single", "repeated", "lasting"),
            "doc": "which spikes: one or two that recovered, many, or one that did not recover",
        },
    )
    height: float = field(
        default=1.5, metadata={"unit": "ratio", "doc": "times what the scatter explains"}
    )
    share: float = field(
        default=0.25, metadata={"unit": "ratio", "doc": "least height over what was gained"}
    )
    count: int = field(default=3, metadata={"unit": "points", "doc": "spikes that are many"})
    points: int = field(
        default=100, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "loss_spike"
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        known = {"any", "single", "repeated", "lasting"}
        check("pattern", self.pattern in known, "one of any, single, repeated, lasting")
        check("height", self.height > 0, "more than 0")
        check("share", self.share >= 0, "0 or more")
        check("count", self.count >= 2, "at least 2")
        check("points", self.points >= 32, "at least 32 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        found = _spikes(curve, self.height, self.share, self.points)
        return found if isinstance(found, Verdict) else self._bad(bins_of(curve), *found)

    def _bad(self, bins: Bins, starts: Ints, level: Floats, up: Floats, gained: float) -> Verdict:
        """There are spikes, which begin at ``starts``; whether of the kind that is asked for."""
        half = _AROUND // 2
        last = int(starts[-1])
        before = middle(level[max(0, last - _AROUND) : last]) if last else float(level[0])
        now = middle(level[-_AROUND:])
        noise = bins.noise() / bins.per_bin**0.5
        stays = now - before > max(0.5 * self.share * gained, 4 * noise)
        if stays and self.pattern != "repeated" and not _settled(level[last + half :], noise):
            return UNKNOWN
        found = "repeated" if len(starts) >= self.count else "lasting" if stays else "single"
        if self.pattern not in {"any", found}:
            return OK
        top = int(starts[int(np.argmax(up[starts]))])
        peak = float(bins.high[top + half])
        usual = middle(np.abs(up))
        onset = int(bins.steps[int(starts[0]) + half])
        high = fold(float(up[top]) / usual) if usual > 0 else "far beyond"
        seen = (
            f"{len(starts)} spike{'s' if len(starts) > 1 else ''} up to step "
            f"{int(bins.steps[-1])}, the highest {number(peak)} at about step "
            f"{int(bins.steps[top + half])} over {number(float(level[top]))} around it, {high} the "
            f"usual scatter; the loss has {'not ' if stays else ''}come back: {number(now)} now"
        )
        return Verdict(Health.BAD, Evidence(peak, seen, onset))


@lru_cache(maxsize=1)  # Three rules look for spikes of three kinds in the same curve in turn.
def _spikes(
    curve: Curve, height: float, share: float, points: int
) -> Verdict | tuple[Ints, Floats, Floats, float]:
    """Where spikes begin, the level at each bin but the outermost four, how far its highest point
    lies above, and what was gained; or a verdict, where there are none of any kind.
    """
    bins, half = bins_of(curve), _AROUND // 2
    n = len(bins)
    if bins.points < points or n < 32:
        return UNKNOWN
    if _low(bins, share):
        return OK
    level = np.sort(sliding_window_view(bins.mean, _AROUND), axis=1)[:, half]
    up = bins.high[half : n - half] - level
    gained = max(float(bins.head[:3].max()) - float(level[-1]), 0.0)
    if float(up.max()) <= share * gained:
        return OK  # The limit is not lower.
    limit = _limit(up, gained, bins.per_bin, height, share)
    if limit <= 0:
        return OK
    first = max(4, n // 20) - half
    at = np.flatnonzero(up > limit)
    at = at[at >= max(first, 0)]
    if not len(at):
        return OK
    # Down is measured without the bins that follow a spike, which may undershoot.
    if float((level - bins.low[half : n - half]).max()) > 0.5 * float(up[at].max()):
        return OK
    return at[np.diff(at, prepend=-_AROUND) > half], level, up, gained


def _low(bins: Bins, share: float) -> bool:
    """Nothing can stand out by ``share`` of what was gained: cheap to see, and common."""
    n, half = len(bins), _AROUND // 2
    top = float(bins.high[max(4, n // 20) : n - half].max() - bins.mean.min())
    gained = float(bins.head[:3].max()) - float(bins.mean[-_AROUND:].max())
    return gained > 0 and top <= share * gained


def _limit(up: Floats, gained: float, per_bin: int, height: float, share: float) -> float:
    """What no usual scatter reaches; 0 if nothing is known of it."""
    ordered = np.sort(up)
    low, high = (float(ordered[round(q * (len(up) - 1))]) for q in (0.75, 0.95))
    if high <= 0:
        return share * gained
    tail = min(high / low, 1e6) if low > 0 else 1e6
    usual: float = height * high * max(tail**2.2, 4.0)
    if gained > 3 * middle(np.abs(up)):
        # It has learnt something, and such a batch costs several times as much. Of bins of
        # some points one in twenty may hold one.
        high = float(ordered[round(max(0.95**per_bin, 0.8) * (len(up) - 1))])
        usual = min(usual, max(height * 7.0 * high, _DEAR * gained))
    return max(usual, share * gained)


def _settled(after: Floats, noise: float) -> bool:
    """So long since the spike, and so level, that it will not come back any more."""
    half = len(after) // 2
    return half >= 10 and middle(after[:half]) - middle(after[half:]) < noise
