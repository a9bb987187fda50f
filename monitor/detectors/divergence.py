"""A loss that has climbed away from what it had reached, and stays up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.rewards import got_on, rewarded
from monitor.detectors.robust import Bins, at_quantile, bins_of, check, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class Divergence:
    """A loss that has climbed far above what it had reached, and stays there.

    Sees the whole curve. Its best earlier level is the lowest median of neighbouring bins; the
    level now is what 80 % of the last ``hold`` of the run (five points at least) lie above. Bad
    where the rise between them is

    * at least ``share`` of all that had been gained since the start,
    * at least ``noise`` times the noise from point to point, and 1.3 times that of the usual
      change from one level to the next (or of that change's own changes: a steady climb is none),
      so that neither noise nor wandering counts; half as much will do where the learning rate
      (role ``learning_rate``) has grown by half since the loss was lowest, which is cause enough,
    * for up to 40 points, or 0.4 of the run, where it is still better than at the start: young
      runs have bumps;
    * at least half of the highest rise since: it is not coming back; nor, where it is no higher
      than at the start, so falling that it may come back: a harder task that is learnt.

    A third of ``share`` and half of ``noise`` will do where it crept up, over six bins or more, and
    has been up for 0.3 of the run without coming down; not while the learning rate is higher than
    it was at the best, nor in runs that log a reward.

    Half of ``hold``, 40 points at least, will do for twice the noise and a level above the start.

    Or bad where it is beyond its first value by ``factor`` times that value and by 3 ``factor``
    times the noise (or 10 ``factor`` times that value, in any noise, if it jumped there at once);
    a tenth of ``factor`` will do where it has grown exponentially from the start: over five sixths
    of the run each gain is 1.15 times the one before or more, and the last beyond all noise; but
    not where a reward has risen beyond its scatter, with which values grow.

    Defaults: ``share`` 0.6, since warm restarts and cyclic rates cost up to a third of what was
    gained; ``noise`` 6, since adversaries and games drift by up to five times their noise;
    ``hold`` 0.1 outlasts spikes and warm-up bumps, at a tenth of the run's time; ``factor`` 30,
    since losses without a target (value functions, critics) grow tenfold in healthy runs; the
    rule ``LossRising`` asks for that alone (``share`` infinite), with 2, for information.
    ``points`` 16: five of them up and twice as many before.

    Stays quiet: spikes however high; warm-up bumps and restarts; discriminators that lose what
    they gained within their noise; value losses that grow with the returns; a huge first step.
    Cannot tell: a task that is suddenly made many times harder than it was for an untrained network
    (a curriculum of long horizons).
    Misses: a rise within six times the noise, such as that of a very noisy loss.

    Source: our reasoning. The defaults were chosen on synthetic curves and real trainings and are
    judged on others (``make score``).
    """

    share: float = field(
        default=0.6,
        metadata={
            "unit": "ratio",
            "doc": "part of the improvement that is lost again; infinity: that never counts",
        },
    )
    factor: float = field(
        default=30.0,
        metadata={"unit": "ratio", "doc": "times the first loss, if it never improved"},
    )
    noise: float = field(
        default=6.0, metadata={"unit": "ratio", "doc": "times the noise that it must have risen"}
    )
    hold: float = field(
        default=0.1, metadata={"unit": "ratio", "doc": "part of the run that it stays up"}
    )
    points: int = field(
        default=16, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "divergence"
    context: ClassVar[tuple[str, ...]] = ("learning_rate", "reward")
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("share", self.share > 0, "more than 0")
        check("factor", self.factor > 1, "more than 1")
        check("noise", self.noise > 0, "more than 0")
        check("hold", 0 < self.hold < 1, "between 0 and 1")
        check("points", self.points >= 10, "at least 10 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        bins = bins_of(curve)
        if bins.points < self.points or len(bins) < 8:
            return UNKNOWN
        n = len(bins)
        hold = self._held(bins)
        if self.share == math.inf and at_quantile(bins.mean[-hold:], 0.2) <= bins.head[0]:
            return OK  # Nothing but its first value counts.
        noise = self.noise * (0.5 if _faster(curve, hold) else 1.0)
        found = self._climbed(bins, hold, self.share, noise, gains=got_on(curve))
        brief = max(bins.bins(40), hold // 2)
        # All is lost, and by far: that can be told in half the time.
        if found is OK and brief < hold and bins.mean[-1] > bins.head[0]:
            return self._climbed(bins, brief, self.share, noise, clear=2)
        # A part is lost, for good.
        long = int(_LONG * n)
        late = long > hold and bins.points >= 100 and self.share < math.inf
        if found is OK and late and self._crept(curve, bins, long):
            return self._climbed(bins, long, self.share / 3, 2 * noise, clear=0.5)
        return found

    def _held(self, bins: Bins) -> int:
        return max(bins.bins(5), int(self.hold * len(bins)))

    def _crept(self, curve: Curve, bins: Bins, hold: int) -> bool:
        """Up bin by bin, not by a jump, and not with the learning rate; no game's loss."""
        smooth = np.convolve(bins.mean, np.full(5, 0.2), "valid")
        best_at = int(np.argmin(smooth[: len(smooth) - hold]))
        best, now = float(smooth[best_at]), middle(bins.mean[-hold:])
        between = np.abs(smooth[best_at:] - (best + now) / 2) < 0.3 * (now - best)
        if between.sum() < max(bins.bins(8), 6) or rewarded(curve):
            return False
        rates = curve.context.get("learning_rate", np.empty(0))
        return not len(rates) or not rates[-1] > 1.1 * rates[min(best_at + 2, len(rates) - 1)]

    def _climbed(
        self,
        bins: Bins,
        hold: int,
        share: float,
        times: float,
        clear: float = 1,
        gains: bool = False,
    ) -> Verdict:
        """It has been up for ``hold`` bins by ``share`` of what was gained and so many ``times``
        the noise; ``clear``: how many times as much has to be seen; ``gains``: so does the reward.
        """
        n, mean = len(bins), bins.mean
        size = max(3, min(hold, self._held(bins)) // 2)
        earlier = mean[: n - hold]
        floor = at_quantile(mean[-hold:], 0.2)
        noise = bins.noise(slice(0, n - hold))
        lowest = float(earlier.min())  # at most the best level
        whole = len(earlier) // size
        if whole < 2:
            return UNKNOWN
        if floor <= bins.head[0] and (clear > 1 or floor - lowest <= times * noise):
            return OK
        levels = np.sort(earlier[: whole * size].reshape(whole, size), axis=1)[:, size // 2]
        best_at = int(np.argmin(levels))
        best = float(levels[best_at])
        start = middle(bins.head[: max(3, n // 20)])
        rise = floor - best
        improvement = max(start - best, 0.0)
        now = middle(mean[-hold:])
        if clear == 1 and not gains and self._blown_up(bins, floor, noise):
            first = float(bins.head[0])
            return self._bad(bins, now, first, 0, floor - first, size)
        top = float(levels[best_at:].max())
        swing = _swing(levels)
        least = clear * times * max(noise, 1.3 * swing)
        risen = rise > least and rise >= share * improvement
        if not risen or now - best < 0.5 * (top - best):
            return OK
        # Still better than it was at first, and young: it can wait for being sure.
        longer = max(hold, min(bins.bins(40), int(0.4 * n)))
        if now < start and at_quantile(mean[-longer:], 0.2) - best < share * improvement:
            return OK
        gained = (earlier < best + 0.5 * improvement).sum() * bins.per_bin
        enough = clear * min(8.0, bins.points / 4)
        # As it climbs it may get wilder than it was when it learnt.
        then = min(noise, bins.noise(slice(0, (best_at + 1) * size)))
        if improvement <= max(5 * then, 3 * swing) or gained < enough:
            return OK
        # A jump to what the untrained network's loss was may be a harder task, and be learnt.
        known = now >= start + 0.1 * improvement and clear == 1
        if not known and _returns(bins, hold, best, now):
            return UNKNOWN
        return self._bad(bins, now, best, best_at * size, rise, size)

    def _blown_up(self, bins: Bins, floor: float, noise: float) -> bool:
        """Never better than at the start, and now beyond all measure."""
        start = float(bins.head[0])
        rise = floor - start
        if bins.points < 32 or rise <= 0.1 * self.factor * abs(start) or rise <= 0:
            return False
        if _compounds(bins):
            return True
        if rise <= self.factor * abs(start):
            return False
        if rise > 3 * self.factor * noise:
            return True
        # Losses of games and adversaries drift far from a start near zero, too, but neither at
        # once nor so far; and of a first batch that cost nothing, its margins met, there is no
        # multiple.
        if bins.points < 64 or start == 0 or rise <= 10 * self.factor * abs(start):
            return False
        jumped = int(np.flatnonzero(bins.mean > start + 0.5 * rise)[0])
        return jumped <= max(bins.bins(16), len(bins) // 20)

    def _bad(
        self, bins: Bins, now: float, level: float, at: int, rise: float, size: int
    ) -> Verdict:
        """``at``: the first of the ``size`` bins that it rose from."""
        above = bins.mean[at:] > level + 0.5 * rise
        # The first time that it stayed up: one bin may be a spike.
        run = np.convolve(above, np.ones(size), "valid") >= 0.8 * size
        later = np.flatnonzero(run & above[: len(run)])
        onset = int(bins.steps[at + int(later[0])]) if len(later) else int(bins.steps[-1])
        seen = (
            f"the loss is about {number(now)} at step {int(bins.steps[-1])}; it had been "
            f"{number(level)} near step {int(bins.steps[at])}, and has stayed up since about "
            f"step {onset}"
        )
        return Verdict(Health.BAD, Evidence(now, seen, onset))


def _swing(levels: Floats) -> float:
    """How far a level is from the one before it, but for a steady climb, which is no wandering."""
    steps = np.diff(levels)
    if len(steps) < 3:
        return 1.05 * middle(np.abs(steps))
    return 1.05 * min(middle(np.abs(steps)), middle(np.abs(np.diff(steps))))


def _faster(curve: Curve, hold: int) -> bool:
    """The learning rate is known to be greater by half than ever until the loss was lowest.

    A warm restart goes back to a rate at which it has learnt before.
    """
    rates = curve.context.get("learning_rate", np.empty(0))
    if len(rates) <= hold or not rates[-1] > 1.5 * np.fmin.reduce(rates):  # As most; or NaN.
        return False
    mean = curve.mean[:-hold]
    if not np.isfinite(mean).any():
        return False
    before = rates[: int(np.nanargmin(mean)) + 1]
    return bool(rates[-1] > 1.5 * np.fmax.reduce(before))


_LONG = 0.3
"""Share of the run for which a part has been lost. What becomes harder at once (a task, a batch, a
term of the loss) is up within a point or two, which the mean of five bins makes three."""


def _returns(bins: Bins, hold: int, best: float, now: float) -> bool:
    """It may be on its way down again, as after a jump to a harder task.

    What came since it was last far below or far above the present level is cut in two. It returns
    unless the second half lies below the first by less than a tenth of the rise (of a short
    stretch, by what an exponential as long as the run would), to two standard errors; what has
    been up for half of the run does not get the benefit of the doubt.
    """
    n, rise = len(bins), now - best
    far = np.abs(bins.mean - (best + rise)) > 0.5 * rise
    twice = np.flatnonzero(far[:-1] & far[1:])
    begin = min(int(twice[-1]) + 2 if len(twice) else 0, n - hold)
    half = (n - begin) // 2
    later = middle(bins.mean[-half:])
    fell = middle(bins.mean[begin : begin + half]) - later
    error = 2.5 * bins.noise(slice(begin, n)) * (2 / (half * bins.per_bin)) ** 0.5
    least = min(0.1, 0.5 * (n - begin) / n) * (later - best)
    return fell > least if 2 * (n - begin) > n else fell + error > least


def _compounds(bins: Bins) -> bool:
    """Each sixth of the curve gains more than the one before: a loss that feeds on itself.

    What grows with a target, such as a value function with the returns, slows down or wanders.
    """
    size = len(bins) // 6
    levels = np.sort(bins.mean[len(bins) - 6 * size :].reshape(6, size), axis=1)[:, size // 2]
    gains = np.diff(levels)
    if float(gains[0]) <= 0 or not bool((gains[1:] >= 1.15 * gains[:-1]).all()):
        return False
    return float(gains[-1]) > 3 * bins.noise()
