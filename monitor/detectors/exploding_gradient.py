"""A gradient norm that has risen by orders of magnitude and stays there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.robust import check, fold, median, number, quantile
from monitor.points import Evidence, Floats, Health, Ints, Verdicts, Window

BLOCK = 10
"""Points that are judged together; verdicts are given at the end of each block."""


@dataclass(frozen=True)
class ExplodingGradient:
    """A gradient norm that has risen by orders of magnitude against its own past, and stays.

    Sees the norm in blocks of ten points. Bad where ``share`` of a block's values are above
    ``factor`` times the earlier level, twice in a row; the level is the lower quartile of the
    medians of the blocks before, up to ``memory`` points back. Values that are not finite are left
    out: fp16 training skips such steps.

    Defaults: ``factor`` 100: norms wander by 10 in healthy training. ``share`` 0.7: a spike
    however high is one value of ten. ``memory`` 1000 points, so that a slow rise counts and the
    new level does not become normal at once. ``points`` 50 before judging, since the first
    norms differ from the later ones.

    Stays quiet: spikes that recover; infinite norms of skipped fp16 steps; norms that are large
    but always were; a rise while the loss falls (a long initial plateau that breaks).
    """

    factor: float = field(
        default=100.0, metadata={"unit": "ratio", "doc": "times the earlier level"}
    )
    share: float = field(
        default=0.7, metadata={"unit": "ratio", "doc": "part of the last points above it"}
    )
    memory: int = field(
        default=1000, metadata={"unit": "points", "doc": "how far back the earlier level reaches"}
    )
    points: int = field(
        default=50, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "exploding_gradient"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = ("train_loss",)
    default_match: ClassVar[Mapping[str, str]] = {"role": "grad_norm"}

    def __post_init__(self) -> None:
        check("factor", self.factor > 1, "more than 1")
        check("share", 0 < self.share <= 1, "more than 0, at most 1")
        check("points", self.points >= 3 * BLOCK, f"at least {3 * BLOCK} points")
        check("memory", self.memory >= self.points, "at least as many as points")

    @property
    def lookback(self) -> int:
        """The memory and two blocks to judge."""
        return (self.memory // BLOCK + 2) * BLOCK

    def __call__(self, window: Window) -> Verdicts:
        """Verdicts at the ends of blocks, UNKNOWN between them."""
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        after = (window.index + len(window.steps)) % BLOCK
        if after >= window.new:  # no block ends here: most live reads
            return Verdicts(health)
        ends, ratio, better = self._judge(window)
        at = ends - (len(window.steps) - window.new)
        known = np.isfinite(ratio)
        bad = known & (ratio >= self.factor) & ~better
        health[at[known]] = Health.OK
        health[at[bad]] = Health.BAD
        return Verdicts(health)

    def _judge(self, window: Window) -> tuple[Ints, Floats, NDArray[np.bool_]]:
        """Per block that ends among the new points: its last index, its rise, loss better?"""
        skip = -window.index % BLOCK
        n = (len(window.steps) - skip) // BLOCK
        keep = self.memory // BLOCK
        if n < 3:
            return np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_)
        logs = _logs(window.values[skip : skip + n * BLOCK]).reshape(n, BLOCK)
        known = np.isfinite(logs).sum(axis=1) * 2 >= BLOCK
        level = np.where(known, median(logs), np.nan)
        low = np.where(known, quantile(logs, 1.0 - self.share), np.nan)
        low[1:] = np.minimum(low[1:], low[:-1])
        ends = skip + BLOCK * np.arange(1, n + 1) - 1
        first = int(np.searchsorted(ends, len(window.steps) - window.new))
        ends, low = ends[first:], low[first:]
        earlier = _before(level, keep)[first:]
        enough = np.isfinite(earlier).sum(axis=1) * BLOCK >= self.points
        base = np.where(enough, quantile(earlier, 0.25), np.nan)
        loss = window.context.get("train_loss")
        better = np.zeros(n - first, np.bool_)
        if loss is not None and np.isfinite(loss).any():
            loss = median(loss[skip : skip + n * BLOCK].reshape(n, BLOCK))
            with np.errstate(invalid="ignore"):
                better = loss[first:] < median(_before(loss, keep)[first:])
        with np.errstate(over="ignore"):
            ratio = 10.0 ** (low - base)
        return ends, ratio, better

    def explain(self, window: Window) -> Evidence:
        """The level now and before."""
        logs = _logs(window.values)
        recent = logs[-2 * BLOCK :]
        now = float(median(recent))
        earlier = float(quantile(median(logs[: -2 * BLOCK][-self.memory :][None]), 0.5))
        over = np.flatnonzero(~(logs >= earlier + 0.5 * np.log10(self.factor)))
        onset = int(window.steps[min(int(over[-1]) + 1 if len(over) else 0, len(logs) - 1)])
        seen = (
            f"the norm of the gradient is about {number(10.0**now)} at step "
            f"{int(window.steps[-1])}, {fold(10.0 ** (now - earlier))} its earlier level of "
            f"{number(10.0**earlier)}, and stays there since step {onset}"
        )
        return Evidence(10.0**now, seen, onset)


def _logs(values: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = np.where((values > 0) & np.isfinite(values), np.log10(values), np.nan)
    return result


def _before(level: Floats, keep: int) -> Floats:
    """[n, keep]: for each block the ``keep`` blocks before it and its forerunner."""
    padded = np.concatenate((np.full(keep + 1, np.nan), level[:-1]))
    return np.lib.stride_tricks.sliding_window_view(padded, keep)[: len(level)]
