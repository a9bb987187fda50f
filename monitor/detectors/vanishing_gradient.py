"""Gradients that shrink layer by layer on their way from the output to the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.parts import NO_SEAMS, Seams, seams
from monitor.detectors.robust import check, fold, median, number
from monitor.points import Evidence, Floats, Health, Layers, Verdicts, Window

GROUPS = 6
"""Layers are put into so many neighbourhoods by depth; a neighbourhood's median outvotes the odd
layer (attention queries, a shortcut convolution), and slopes between 6 are cheap."""

JUMP = 0.75
"""Part of the whole change that lies between two neighbours: more is a step and no series. Four
layers that share it evenly have a third each; one layer of them may do twice as much as the rest
together. A factor between two parts of a network, or two networks side by side, have all of it."""

PART = 3
"""Weights that make a part of the model, such as an actor, a network of its own."""

SETTLED = 10
"""Sampled steps after which a fall is no matter of the start: zero-initialised branches, heads and
critics that begin flat, and the first steps of a warm-up have found their scale by then."""

_SQUASHING = ("sigmoid", "tanh", "softsign", "logsigmoid", "hardsigmoid", "hardtanh")
_OUTSIDE = ("embedding", "norm")


@dataclass(frozen=True)
class VanishingGradient:
    """Gradients that shrink geometrically from the output towards the input.

    Sees the gradient norm of each parameter, in depth order. Looks at weights only (two or more
    dimensions; no embeddings, no normalisation) and at the root mean square of the gradient's
    elements, norm / sqrt(elements), so that wide layers compare with narrow ones. The layers are
    put into up to six neighbourhoods by depth with a median each, and a line is laid through
    their logarithms (Theil and Sen: the median of all slopes). Bad where, over the last
    ``samples`` sampled steps, its fall from the last layer to the first is at least ``fall``, and
    at least ``order`` of the pairs of neighbourhoods are in that order (Kendall's tau).

    Defaults: ``fall`` 1000: healthy residual networks, transformers and ReLU stacks stay within
    about 30, deep sigmoid stacks reach 1e4 and more (AUTOTRAINER, ICSE'21, takes 1000 between
    first and last layer, too). ``order`` 0.6 lets two or three of fifteen pairs stand the wrong
    way round. ``samples`` 5: one odd batch is no evidence; and none of the first ten sampled steps
    is any, in which branches and critics that begin flat still find their scale. ``layers`` 4:
    three layers make no geometric series.

    Stays quiet: frozen layers (no gradient, or exactly zero); a converged run, whose gradients
    are all small; a large gradient in the last layer alone; embeddings and first convolutions; a
    fall three quarters of which lie between two neighbours, or half of which between parts of
    different names, which is no series: two networks side by side, or a factor between two parts
    (``update_ratio`` says so where it matters). Misses, for the same reason, a single layer that
    lets nothing through.

    Source: the article behind the rules (ReLU passes gradients, sigmoid in a deep net does not);
    Glorot and Bengio, AISTATS 2010; AUTOTRAINER (Zhang et al., ICSE 2021); the line through
    neighbourhoods is our reasoning.
    """

    fall: float = field(
        default=1000.0,
        metadata={"unit": "ratio", "doc": "gradient at the output over that at the input"},
    )
    order: float = field(
        default=0.6,
        metadata={"unit": "ratio", "doc": "how monotone the fall must be: Kendall's tau"},
    )
    samples: int = field(
        default=5, metadata={"unit": "points", "doc": "sampled steps in a row that must show it"}
    )
    layers: int = field(
        default=4, metadata={"unit": "points", "doc": "weights with a gradient needed to judge"}
    )

    name: ClassVar[str] = "vanishing_gradient"
    layered: ClassVar[bool] = True
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"stat": "grad_norm"}

    def __post_init__(self) -> None:
        check("fall", self.fall > 1, "more than 1")
        check("order", 0 <= self.order <= 1, "between 0 and 1")
        check("samples", self.samples >= 1, "at least 1 sampled step")
        check("layers", self.layers >= 3, "at least 3 layers")

    @property
    def lookback(self) -> int:
        """As many sampled steps as must show it, and those before it is believed: by the time it
        is told it may have been so from the very first on, and the alert should say since when.
        """
        return SETTLED + self.samples

    def __call__(self, window: Window) -> Verdicts:
        """BAD where all of the last samples show the fall, OK where the last one does not."""
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        columns = weights(window.layers) if window.layers is not None else NO_COLUMNS
        if len(columns[0]) < self.layers or not window.new:
            return Verdicts(health)
        early = max(0, len(window.steps) - window.new - self.samples + 1)
        logs = scales(window, columns)[early:]
        falls, known = self._falls(logs, window.layers)
        sick = falls & (window.index + early + np.arange(len(falls)) >= SETTLED)
        begin = len(sick) - window.new
        # Runs of sick samples, unknown ones in between neither counted nor forgiven.
        padded = np.concatenate((np.zeros(self.samples - 1, np.bool_), sick))
        counts = np.lib.stride_tricks.sliding_window_view(padded, self.samples).sum(axis=1)
        health[known[begin:]] = Health.OK
        health[falls[begin:] & (counts[begin:] < self.samples)] = Health.UNKNOWN
        health[counts[begin:] == self.samples] = Health.BAD
        return Verdicts(health)

    def _falls(
        self, logs: Floats, layers: Layers | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Per sampled step of [T, n]: whether it shows the fall, and whether that is known."""
        decades, tau, known = slopes(logs, self.layers)
        falls = known & (decades >= np.log10(self.fall)) & (tau >= self.order)
        if falls.any():
            falls &= ~stepwise(logs, decades, joints(layers))
        return falls, known

    def explain(self, window: Window) -> Evidence:
        """Both ends of the network, the layers whose gradient is lost, and what squashes it."""
        layers = window.layers
        assert layers is not None
        columns = weights(layers)
        every = scales(window, columns)
        others = np.flatnonzero(~self._falls(every, layers)[0])
        onset = int(window.steps[others[-1] + 1 if len(others) else 0])
        logs = median(every[-self.samples :].T)
        decades = float(slopes(logs[None], self.layers)[0][0])
        known = np.flatnonzero(np.isfinite(logs))
        names = [layers.names[columns[0][i]] for i in known]
        logs = logs[known]
        ends = max(1, len(known) // GROUPS)
        top = float(median(logs[-ends:]))
        lost = [i for i in np.argsort(logs) if logs[i] < top - np.log10(self.fall) * 2 / 3]
        culprits = squashing(layers, [int(columns[0][i]) for i in known])
        step = int(window.steps[-1])
        seen = (
            f"the gradient falls {fold(10**decades)} from output to input: "
            f"RMS {number(10 ** logs[-1])} at {names[-1]}, "
            f"{number(10 ** logs[0])} at {names[0]} (step {step}, so since "
            f"step {onset}; {len(known)} layers)"
        )
        if culprits:
            shown = ", ".join(culprits[:3]) + (", ..." if len(culprits) > 3 else "")
            seen += f"; {len(culprits)} of them run into a sigmoid or tanh ({shown})"
        facts = {"saturating": ", ".join(culprits), "ratio": number(10**decades)}
        at_fault = tuple(names[i] for i in lost) or (names[int(np.argmin(logs))],)
        return Evidence(10**decades, seen, onset, at_fault, facts)


Columns = tuple[NDArray[np.intp], Floats]
NO_COLUMNS: Columns = (np.empty(0, np.intp), np.empty(0))


@lru_cache(maxsize=64)
def weights(layers: Layers) -> Columns:
    """Columns of the weights that count, and half the logarithm of their element counts."""
    chosen, sizes = [], []
    for i, (kind, shape) in enumerate(zip(layers.kinds, layers.shapes, strict=False)):
        outside = any(word in kind.lower() for word in _OUTSIDE)
        if len(shape) >= 2 and not outside and min(shape) > 0:
            chosen.append(i)
            sizes.append(0.5 * sum(np.log10(n) for n in shape))
    return np.array(chosen, np.intp), np.array(sizes)


def scales(window: Window, columns: Columns) -> Floats:
    """[T, n]: log10 of the gradients' root mean squares; NaN where there is no gradient."""
    norms = window.values[:, columns[0]]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where((norms > 0) & np.isfinite(norms), np.log10(norms), np.nan)
    result: Floats = logs - columns[1]
    return result


@lru_cache(maxsize=64)
def joints(layers: Layers | None) -> Seams:
    """Where parts of the model meet, among the weights that count."""
    if layers is None:
        return NO_SEAMS
    return seams([layers.names[i] for i in weights(layers)[0]], PART)


def slopes(logs: Floats, least: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Per sampled step: decades from first to last layer, Kendall's tau, whether known."""
    present = np.isfinite(logs)
    n = logs.shape[1]
    known = present.sum(axis=1) >= least
    _, (a, b), distance = neighbourhoods(n)
    levels = medians(logs)
    rises = (levels[:, b] - levels[:, a]) / distance
    # Layers without gradient have no part in it: from the first one that has to the last.
    span = n - 1 - present[:, ::-1].argmax(axis=1) - present.argmax(axis=1)
    decades = median(rises) * span
    pairs = np.isfinite(rises).sum(axis=1)
    order = np.where(np.isfinite(rises), np.sign(rises), 0.0).sum(axis=1)
    tau = order / np.maximum(pairs, 1)
    return decades, tau, known & np.isfinite(decades)


def medians(logs: Floats) -> Floats:
    """[T, groups]: the median of each neighbourhood."""
    nobody = np.full((len(logs), 1), np.nan)
    members = neighbourhoods(logs.shape[1])[0]
    return median(np.concatenate((logs, nobody), axis=1)[:, members])


def stepwise(logs: Floats, decades: Floats, between: Seams) -> NDArray[np.bool_]:
    """Per sampled step: the change is no series, but made in one place, or ``between`` parts."""
    levels = medians(logs)
    # What is missing is as its neighbour on the left, or no part of it at the front.
    at = np.maximum.accumulate(np.where(np.isfinite(levels), np.arange(levels.shape[1]), 0), axis=1)
    gaps = np.abs(np.diff(np.take_along_axis(levels, at, axis=1), axis=1))
    gaps = np.where(np.isfinite(gaps), gaps, 0.0)
    result: NDArray[np.bool_] = gaps.max(axis=1, initial=0.0) > JUMP * gaps.sum(axis=1)
    ends, begins = between
    if len(ends):
        steps = np.nansum(logs[:, begins] - logs[:, ends], axis=1)
        with np.errstate(invalid="ignore"):
            result |= steps * np.sign(decades) >= 0.5 * np.abs(decades)
    return result


@lru_cache(maxsize=64)
def neighbourhoods(
    n: int,
) -> tuple[NDArray[np.intp], tuple[NDArray[np.intp], NDArray[np.intp]], Floats]:
    """Columns [groups, most] of each neighbourhood of n layers, n where it has fewer; all pairs of
    neighbourhoods, and how many layers they are apart.
    """
    parts = np.array_split(np.arange(n), min(GROUPS, n))
    members = np.full((len(parts), max(len(part) for part in parts)), n, np.intp)
    for row, part in zip(members, parts, strict=True):
        row[: len(part)] = part
    centres = np.array([part.mean() for part in parts])
    a, b = np.triu_indices(len(parts), 1)
    return members, (a, b), centres[b] - centres[a]


def squashing(layers: Layers, columns: list[int]) -> list[str]:
    """The sigmoid and tanh activations right behind these layers, in depth order."""
    if not layers.followed_by:
        return []
    found = [layers.followed_by[i] for i in columns if i < len(layers.followed_by)]
    return [f for f in dict.fromkeys(found) if f.rpartition(":")[2].lower() in _SQUASHING]
