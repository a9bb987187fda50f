"""A value that is NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.robust import check, number
from monitor.points import Evidence, Health, Verdicts, Window


@dataclass(frozen=True)
class NonFinite:
    """A value that is NaN or infinite.

    Sees every point. With ``where: start`` only a point within ``within`` steps of the attempt's
    first one counts, and only if the attempt began near step 0: NaN in the first steps speaks of
    initialisation or inputs, NaN later of the learning rate or of numerics. A resumed run has no
    start. A NaN on the other side of the border is UNKNOWN, so that it does not resolve the
    alert about the first one.

    Defaults: ``within`` 100 steps, since a bad initialisation shows in the first few updates
    (the article behind the rules saw NaN at the second) and warm-up may delay it somewhat.

    Stays quiet: huge finite values; infinite gradient norms, if it is pointed at the loss only:
    skipped fp16 steps make those.

    Source: the article behind the rules, whose network was NaN at the second iteration once its
    batch norm was out; where the start ends is our reasoning.
    """

    where: Literal["any", "start", "later"] = field(
        default="any",
        metadata={
            "unit": "choice",
            "choices": ("any", "start", "later"),
            "doc": "which points count: any, those of the first steps, or those after them",
        },
    )
    within: int = field(
        default=100, metadata={"unit": "steps", "doc": "how many steps are the start"}
    )

    name: ClassVar[str] = "nonfinite"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("where", self.where in {"any", "start", "later"}, "one of any, start, later")
        check("within", self.within >= 1, "at least 1 step")

    @property
    def lookback(self) -> int:
        """Only :meth:`explain` looks back, for the last finite value."""
        return 64

    def _counts(self, window: Window, begin: int) -> NDArray[np.bool_]:
        steps = window.steps[begin:]
        if self.where == "any":
            return np.ones(len(steps), np.bool_)
        early = (steps - window.first_step < self.within) & (window.first_step < self.within)
        return early if self.where == "start" else ~early

    def __call__(self, window: Window) -> Verdicts:
        """BAD where a value is not finite and counts, UNKNOWN where it does not count."""
        begin = len(window.steps) - window.new
        health = np.ones(window.new, np.int8)  # OK is 1.
        broken = ~np.isfinite(window.values[begin:])
        if broken.any():
            counts = self._counts(window, begin)
            health[broken] = np.where(counts[broken], Health.BAD, Health.UNKNOWN)
        return Verdicts(health)

    def explain(self, window: Window) -> Evidence:
        """The value, and the last finite one before it."""
        value, step = float(window.values[-1]), int(window.steps[-1])
        finite = np.flatnonzero(np.isfinite(window.values))
        kind = "NaN" if math.isnan(value) else "infinite" if value > 0 else "minus infinity"
        seen = f"{kind} at step {step}"
        if not len(finite):
            onset = int(window.steps[0])
            if len(window.steps) > 1:
                seen += f", and no finite value since step {onset}"
            elif window.index == 0:
                seen += ", the first value logged"
            return Evidence(value, seen, onset)
        last = int(finite[-1])
        onset = int(window.steps[min(last + 1, len(window.steps) - 1)])
        seen += f", was {number(float(window.values[last]))} at step {int(window.steps[last])}"
        return Evidence(value, seen, onset)
