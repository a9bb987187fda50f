"""A loss scale that falls and falls: nearly every step overflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.robust import check, number
from monitor.points import Evidence, Floats, Health, Verdicts, Window

HALVINGS = 8.0
"""What never was so many times the least is no scale of mixed precision."""

AMPLE = 128.0
"""So many times the least are seven halvings from the floor: still time enough."""


@dataclass(frozen=True)
class LossScaleCollapse:
    """The loss scale of mixed precision has collapsed: the scaler halves it again and again.

    Sees the scale itself. Bad where, after the first ``settling`` points of the attempt, it is at
    or below ``least``, having been at eight times that or more within the last ``memory`` points,
    or where it is ``fall`` times below its highest of these, for which the first ones do not
    count, and below 128 times ``least``. A scaler halves the scale, and skips the step, whenever a
    gradient is infinite, and doubles it after some thousand good steps.

    Defaults: ``least`` 1: without any scaling gradients still overflow, which no scale can
    mend; healthy runs are at 2**8 and more. ``fall`` 256 is eight halvings more than doublings;
    now and then one or two are the scaler's job, and where only every tenth step is logged the
    memory holds a slow descent, which ends at some comfortable height. ``settling`` 30 points:
    scalers begin far too high on purpose (2**16, with DeepSpeed 2**32) and come down in the first
    steps. ``memory`` 500.

    Stays quiet: the first descent; a scale that goes up and down by a few powers of two; a
    constant scale, whatever it is above ``least``; bf16 and fp32 runs that log a scale of
    exactly 1 throughout.

    Source: Micikevicius et al., ICLR 2018, Mixed Precision Training; the OPT-175B log book
    (Zhang et al., 2022), where the scale's collapse came before divergence; the limits are our
    reasoning.
    """

    least: float = field(
        default=1.0, metadata={"unit": "ratio", "doc": "a scale that no healthy run comes down to"}
    )
    fall: float = field(default=256.0, metadata={"unit": "ratio", "doc": "times below its highest"})
    settling: int = field(
        default=30, metadata={"unit": "points", "doc": "first points, in which it finds its level"}
    )
    memory: int = field(
        default=500, metadata={"unit": "points", "doc": "how far back its highest reaches"}
    )

    name: ClassVar[str] = "loss_scale_collapse"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"role": "loss_scale"}

    def __post_init__(self) -> None:
        check("least", 0 < self.least < np.inf, "more than 0")
        check("fall", 1 < self.fall < np.inf, "more than 1")
        check("settling", self.settling >= 0, "at least 0 points")
        check("memory", self.memory >= 2, "at least 2 points")

    @property
    def lookback(self) -> int:
        """The memory."""
        return self.memory

    def __call__(self, window: Window) -> Verdicts:
        """BAD where it has collapsed, UNKNOWN until it can have settled."""
        n, begin = len(window.steps), len(window.steps) - window.new
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        if not window.new:
            return Verdicts(health)
        scales = np.where(np.isfinite(window.values) & (window.values > 0), window.values, np.nan)
        at = np.arange(window.index, window.index + n)
        settled = np.where(at >= self.settling, scales, np.nan)
        highest, ever = self._highest(settled)[begin:], self._highest(scales)[begin:]
        now = scales[begin:]
        known = np.isfinite(highest) & np.isfinite(now)
        scaled = ever >= HALVINGS * self.least  # there are scales that are 1 for good
        fallen = (now <= highest / self.fall) & (now < AMPLE * self.least)
        bad = known & scaled & ((now <= self.least) | fallen)
        health[known] = Health.OK
        health[bad] = Health.BAD
        return Verdicts(health)

    def _highest(self, scales: Floats) -> Floats:
        """Of each point and those before it, as far back as the memory reaches."""
        padded = np.concatenate((np.full(self.memory - 1, np.nan), scales))
        views = np.lib.stride_tricks.sliding_window_view(padded, self.memory)
        found: Floats = np.fmax.reduce(views, axis=1)
        return found

    def explain(self, window: Window) -> Evidence:
        """From where to where it fell, and since when."""
        scales = np.where(np.isfinite(window.values) & (window.values > 0), window.values, np.nan)
        at = np.arange(window.index, window.index + len(scales))
        settled = np.where(at >= self.settling, scales, np.nan)
        # It may have fallen through the floor before it could settle anywhere.
        if np.nanmax(settled) >= HALVINGS * self.least:
            scales = settled
        top = len(scales) - 1 - int(np.nanargmax(scales[::-1]))  # the last time that it was there
        onset = int(window.steps[min(top + 1, len(scales) - 1)])
        now, step = float(window.values[-1]), int(window.steps[-1])
        seen = (
            f"the loss scale has fallen from {number(float(scales[top]))} at step "
            f"{int(window.steps[top])} to {number(now)} at step {step}"
        )
        return Evidence(now, seen, onset)
