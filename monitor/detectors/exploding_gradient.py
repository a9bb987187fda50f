"""A gradient norm that has risen by orders of magnitude and stays there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.base import Folded, Memory
from monitor.detectors.robust import check, fold, median, number, quantile
from monitor.points import Evidence, Floats, Health, Range, Window

LOW = 0.1
"""Part of the earlier blocks that may be below what counts as their level."""

BLOCK = 10
"""Points that are judged together; verdicts are given at the end of each block."""

STEPS, BELOW, LARGEST = 8, 0.999, 300.0
"""Of the range that is never bad: its places per width, the part of the width that it takes, and
how far from 1 it can lie, as a logarithm.
"""


@dataclass(frozen=True)
class ExplodingGradient:
    """A gradient norm that has risen by orders of magnitude against its own past, and stays.

    Sees the norm in blocks of ten points. Bad where ``share`` of a block's values are above
    ``factor`` times the earlier level, twice in a row; the level is the lowest tenth of the
    medians of the blocks before, up to ``memory`` points back: where a norm grows by the same
    factor in each block, as an unbounded critic's does, the middle of its past grows with it.
    Values that are not finite are left out: fp16 training skips such steps.

    Defaults: ``factor`` 100: norms wander by 10 in healthy training. ``share`` 0.7: a spike
    however high is one value of ten. ``memory`` 3000 points, so that a slow rise counts (a factor
    ``e`` in 400 points) and the new level does not become normal at once. ``points`` 50 before
    judging, since the first norms differ from the later ones.

    Stays quiet: spikes that recover; infinite norms of skipped fp16 steps; norms that are large
    but always were; a rise while the loss falls (a long initial plateau that breaks).

    Source: our reasoning; the remedy, clipping, is that of Pascanu et al., ICML 2013.
    """

    factor: float = field(
        default=100.0, metadata={"unit": "ratio", "doc": "times the earlier level"}
    )
    share: float = field(
        default=0.7, metadata={"unit": "ratio", "doc": "part of the last points above it"}
    )
    memory: int = field(
        default=3000, metadata={"unit": "points", "doc": "how far back the earlier level reaches"}
    )
    points: int = field(
        default=50, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "exploding_gradient"
    context: ClassVar[tuple[str, ...]] = ("train_loss",)
    default_match: ClassVar[Mapping[str, str]] = {"role": "grad_norm"}

    def __post_init__(self) -> None:
        check("factor", self.factor > 1, "more than 1")
        check("share", 0 < self.share <= 1, "more than 0, at most 1")
        check("points", self.points >= 3 * BLOCK, f"at least {3 * BLOCK} points")
        check("memory", self.memory >= self.points, "at least as many as points")

    @property
    def _kept(self) -> int:
        """Blocks that are remembered: the memory and the forerunner of the next block."""
        return self.memory // BLOCK + 1

    def begin(self) -> Memory:
        """Of each block kept its level, its loss and its first step; of the last one, how low it
        went; how many points the block that is not full has; and these: norms, losses, steps.
        """
        of_blocks, of_points = np.full((3, self._kept), np.nan), np.zeros((3, BLOCK))
        return of_blocks, np.full(1, np.nan), np.zeros(1), of_points

    def fold(self, memory: Memory, window: Window) -> Folded:
        """Verdicts at the ends of blocks, UNKNOWN between them."""
        past, lowest, count, rest = memory
        new, had = len(window.steps), int(count[0])
        n, left = divmod(had + new, BLOCK)
        health, seen = np.full(new, Health.UNKNOWN, np.int8), np.zeros((3, new))
        points = np.zeros((3, (n + 1) * BLOCK))  # Room for one block that is not full.
        points[:, :had], points[2, had : had + new] = rest[:, :had], window.steps
        points[0, had : had + new] = window.values
        points[1, had : had + new] = window.context.get("train_loss", np.nan)
        count, rest = np.array([float(left)]), points[:, n * BLOCK :].copy()
        if not n:
            return Folded(health, (past, lowest, count, rest), seen)
        full = points[:, : n * BLOCK].reshape(3, n, BLOCK)
        levels, low, losses = _levels(full[:2], 1 - self.share)
        past = np.concatenate((past, (levels, losses, full[2, :, 0])), axis=1)
        twice = np.minimum(low, np.concatenate((lowest, low[:-1])))
        at = slice(BLOCK - 1 - had, None, BLOCK)
        health[at], seen[:, at] = self._judge(past, twice)
        return Folded(health, (past[:, n:].copy(), low[-1:], count, rest), seen)

    def _judge(self, past: Floats, low: Floats) -> tuple[Floats, Floats]:
        """Verdicts [n] of the last n blocks of ``past``, and level, earlier level, onset [3, n].

        A block is held against the blocks before it and its forerunner.
        """
        n, keep, limit = len(low), self._kept - 1, np.log10(self.factor)
        levels = past[0, : keep + n - 1]
        known = np.zeros(keep + n)
        np.cumsum(~np.isnan(levels), out=known[1:])
        enough = (known[keep:] - known[:n]) * BLOCK >= self.points
        health = np.where(enough & ~np.isnan(low), Health.OK, Health.UNKNOWN)
        seen = np.zeros((3, n))
        # Against the lowest of all at first, which costs little; there is hardly ever more to do.
        if not np.fmax.reduce(low) >= np.fmin.reduce(levels) + limit:
            return health, seen
        lowest = np.fmin.reduce(np.lib.stride_tricks.sliding_window_view(levels, keep), axis=1)
        for i in np.flatnonzero((health == Health.OK) & (low >= lowest + limit)):
            earlier, losses = past[:2, i : i + keep]
            better = past[1, self._kept + i] < median(losses)
            level = float(quantile(earlier, LOW))
            if low[i] < level + limit or better:
                continue
            health[i] = Health.BAD
            below = np.flatnonzero(~(past[0, : self._kept + i] >= level + limit / 2))
            onset = past[2, int(below[-1]) + 1 if len(below) else 0]
            seen[:, i] = past[0, self._kept + i], level, onset
        return health, seen

    def never_bad_after(self, memory: Memory) -> tuple[Range, ...]:
        """Norms less than ``factor`` apart, around the lowest level that there was, if the block
        that is not full has no others.
        """
        past, _, count, rest = memory
        begun = rest[0, : int(count[0])].tolist()
        floor = float(np.fmin.reduce(past[0], initial=math.inf))
        if floor == math.inf:
            if not begun or not 0 < min(begun) < math.inf:
                return ()
            floor = math.log10(min(begun))
        width = math.log10(self.factor)
        # In steps, so that it is not another range after each block.
        lowest = math.floor(floor / width * STEPS) / STEPS * width - width / 2
        if not -LARGEST < lowest < lowest + width < LARGEST:
            return ()
        low, high = 10.0**lowest, 10.0 ** (lowest + BELOW * width)
        return ((low, high),) if all(low <= norm <= high for norm in begun) else ()

    def explain(self, window: Window, seen: Floats) -> Evidence:
        """The level now and before."""
        now, earlier, onset = 10.0 ** float(seen[0]), 10.0 ** float(seen[1]), int(seen[2])
        text = (
            f"the norm of the gradient is about {number(now)} at step {int(window.steps[-1])}, "
            f"{fold(now / earlier)} its earlier level of {number(earlier)}, "
            f"and stays there since step {onset}"
        )
        return Evidence(float(now), text, onset)


def _levels(blocks: Floats, low: float) -> tuple[Floats, Floats, Floats]:
    """Of norms and losses [2, n, BLOCK], per block: the norms' median and their quantile ``low``,
    as logarithms, and the losses' median.
    """
    norms, losses = blocks
    middle = (BLOCK - 1) // 2, BLOCK // 2
    if blocks.max() < np.inf and norms.min() > 0 and losses.min() > -np.inf:  # As nearly always.
        ordered = np.sort(blocks, axis=2)
        below, above, least = np.log10(ordered[0][:, (*middle, round(low * (BLOCK - 1)))].T)
        below_loss, above_loss = ordered[1][:, middle].T
        return (below + above) / 2, least, (below_loss + above_loss) / 2
    ordered = np.sort(_logs(norms), axis=1)  # NaN last
    known = BLOCK - np.isnan(ordered).sum(axis=1)
    at = np.maximum(((known - 1) // 2, known // 2, np.rint(low * (known - 1))), 0)
    below, above, least = np.take_along_axis(ordered, at.T.astype(np.intp), 1).T
    few = known * 2 < BLOCK
    level = np.where(few, np.nan, (below + above) / 2)
    return level, np.where(few, np.nan, least), median(losses)


def _logs(values: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = np.where((values > 0) & np.isfinite(values), np.log10(values), np.nan)
    return result
