"""A run whose steps take longer than they did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.rewards import rewarded
from monitor.detectors.robust import SIGMA, at_quantile, check, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict


@dataclass(frozen=True)
class ThroughputDrop:
    """A run whose steps take persistently longer than they did.

    Sees when the points of the whole curve were written: seconds per step of each bin, wall time
    over steps, whatever the values are. What it was: the lowest median of an eighth of the bins
    before the last ``hold`` of the run. Bad where four fifths of those last bins (five at least)
    take ``factor`` times as long, for ``lasting`` seconds at least, and longer than the scatter
    from one to the next explains (four standard errors of either, since it is asked again and
    again).

    Or sees what the script itself measured: ``of`` *seconds* (any unit will do) or of *rate*. That
    of reinforcement learning falls when the learning begins, and is left alone.

    Defaults: ``factor`` 1.5, since steps of one run differ by some ten percent, and by less once
    an eighth of it is taken together; ``hold`` 0.08 outlasts a checkpoint; ``lasting`` 45
    seconds, since a machine that is shared is slower now and then, and less is nobody's trouble;
    ``points`` 40: five slow ones and four medians before.

    Stays quiet: slow first steps (compilation); checkpoints, evaluations and resumes, which are
    single slow bins or the same in all of them; another logging interval, since it is time per
    step. Cannot tell: a curriculum of longer sequences, or layers that are unfrozen, from a
    slower machine.

    Source: our reasoning.
    """

    of: Literal["clock", "seconds", "rate"] = field(
        default="clock",
        metadata={"unit": "choice", "doc": "when points are written, or what their values are"},
    )
    factor: float = field(
        default=1.5, metadata={"unit": "ratio", "doc": "time per step over what it was"}
    )
    hold: float = field(
        default=0.08, metadata={"unit": "ratio", "doc": "part of the run that it stays slow"}
    )
    lasting: float = field(
        default=45.0, metadata={"unit": "seconds", "doc": "how long it is slow at least"}
    )
    points: int = field(
        default=40, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "throughput_drop"
    context: ClassVar[tuple[str, ...]] = ("reward",)
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("of", self.of in {"clock", "seconds", "rate"}, "one of clock, seconds, rate")
        check("factor", self.factor > 1, "more than 1")
        check("hold", 0 < self.hold < 0.5, "between 0 and 0.5")
        check("lasting", self.lasting >= 0, "0 seconds or more")
        check("points", self.points >= 20, "at least 20 points")

    def _each(self, curve: Curve) -> tuple[Floats, NDArray[np.bool_]]:
        """How long a step took, for each bin but the first; and of which bins that is known."""
        steps = np.diff(curve.steps)
        if self.of == "clock":
            took = np.diff(curve.wall_times)
            known = np.isfinite(took) & (took >= 0) & (steps > 0)
            return took[known] / steps[known], known
        values = curve.mean[1:]
        known = np.isfinite(values) & (values > 0)
        return (values[known] if self.of == "seconds" else 1.0 / values[known]), known

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        if curve.count < self.points or len(curve.steps) < 20:
            return UNKNOWN
        each, known = self._each(curve)
        if self.of != "clock" and rewarded(curve):
            return UNKNOWN
        n = len(each)
        if n < 19:
            return UNKNOWN
        hold = max(5, int(self.hold * n))
        size = max(3, n // 8)
        now = at_quantile(each[-hold:], 0.2)
        if now <= self.factor * float(each[: n - hold].min()):
            return OK
        whole = (n - hold) // size
        before = np.sort(each[: whole * size].reshape(whole, size), axis=1)[:, size // 2]
        was = float(before.min())
        if was <= 0 or now <= max(self.factor, _by_chance(each, hold, size)) * was:
            return OK
        slow = np.flatnonzero(each < self.factor * was)
        begin = int(slow[-1]) + 1 if len(slow) else 0
        begin = min(begin, n - hold)
        if float(np.diff(curve.wall_times)[known][begin:].sum()) < self.lasting:
            return OK
        onset = int(curve.steps[:-1][known][begin])
        typical = middle(each[-hold:])
        seen = (
            f"{self._told(typical, was)} up to step {int(curve.steps[-1])}; slow since about step "
            f"{onset}"
        )
        return Verdict(Health.BAD, Evidence(typical / was, seen, onset))

    def _told(self, now: float, was: float) -> str:
        if self.of == "rate":
            return f"{number(1 / now)} a second, where it had been {number(1 / was)},"
        unit = " s" if self.of == "clock" else ""
        return (
            f"a step takes {number(now)}{unit}, {number(now / was)} times the {number(was)}{unit} "
            f"that it took before,"
        )


def _by_chance(each: Floats, hold: int, size: int) -> float:
    """What the last ``hold`` over the best ``size`` may come to without any slowing down."""
    logs = np.log(each[each > 0])
    scatter = SIGMA * middle(np.abs(np.diff(logs))) / 2**0.5 if len(logs) > 1 else 0.0
    return float(np.exp(4 * scatter * (hold**-0.5 + size**-0.5)))
