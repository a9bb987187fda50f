"""Updates that are far too large, or far too small, for the weights that they change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.first_steps import in_a_row
from monitor.detectors.parts import seams
from monitor.detectors.robust import check, median, number
from monitor.points import Evidence, Floats, Health, Layers, Verdicts, Window

_SIDES = ("high", "low")

IN_ALL = 10.0
"""How often ``large`` the changes of all samples add up to, at least: to the whole weight."""

ALONE = 5.0
"""How much more a last layer's weight must change if no others do."""

PART = 2
"""Weights that make a part of the model, such as an actor, whose last layer is one, too."""


@dataclass(frozen=True)
class UpdateRatio:
    """Weights that a step changes by far more, or far less, than is usual.

    Sees the norm of each parameter's update over the norm of the parameter, of weights (two or
    more dimensions) only. Usual are 1e-4 to 1e-2. With ``side``

    * *high*: bad where a weight changes by at least ``large`` of itself in each of the first
      ``samples`` sampled steps, and by ten times ``large`` in all of them together, so that hardly
      anything is left of what it was;
    * *low*: bad where a weight's median over ``samples`` sampled steps is below ``small``
      while another weight's is above a thousand times that.

    Pointed at the scalar ``health/decay_per_step``, which the hook makes of the optimizer's
    settings, it sees which part of its weights decay takes at each step: bad where that is
    ``decay`` or more in ``samples`` sampled steps in a row.

    Defaults: ``decay`` 0.01: of what was learnt a hundred steps ago a third is left; usual are
    1e-6 to 1e-4, and the strongest in use about 2e-3 (a rate of 0.002 and a decay of 1).
    ``large`` 0.1: a tenth, six times in a row, and all of the weight together; Adam at 0.001 begins
    with 0.01 to 0.05, residual nets at SGD's usual 0.1 with 0.06, and RMSprop at 0.002, whose first
    steps are ten times as long as later ones, with 0.2, which is 0.8 together. ``small`` 1e-6: a
    million steps would be needed. ``samples`` 6. Only the first steps tell a rate that is too
    high: later the weights have grown to fit it.

    The last layer, of the model or of a part of it with a name of its own (an actor beside a
    critic), gets the greatest gradient, and often begins small: alone it counts from five times
    ``large`` on, and not at all where it has a single output.

    Stays quiet: biases and the weights of norms; linear models and those made of embeddings only,
    whose weights begin small and grow to the solution; weights that begin at zero (adapters,
    last layers of branches);
    warm-up, since the first steps are small; decay at the end, which is the same for all;
    embeddings are not called too slow, of which a batch moves some rows only. Several
    optimizers: updates are not known.

    Source: the rule of thumb of 1e-3 (Karpathy, CS231n); SageMaker Debugger's
    weight_update_ratio has 1e-8 to 10; the first steps and the comparison with the others are
    our reasoning.
    """

    side: str = field(
        default="high",
        metadata={"unit": "choice", "choices": _SIDES, "doc": "too large or too small"},
    )
    large: float = field(
        default=0.1, metadata={"unit": "ratio", "doc": "part of a weight that one step changes"}
    )
    small: float = field(
        default=1e-6, metadata={"unit": "ratio", "doc": "part of a weight that one step changes"}
    )
    decay: float = field(
        default=0.01,
        metadata={"unit": "ratio", "doc": "part of a weight that its decay takes at a step"},
    )
    samples: int = field(
        default=6, metadata={"unit": "points", "doc": "sampled steps that must show it"}
    )

    name: ClassVar[str] = "update_ratio"
    layered: ClassVar[bool | None] = None
    context: ClassVar[tuple[str, ...]] = ("learning_rate",)
    default_match: ClassVar[Mapping[str, str]] = {"stat": "update_ratio"}

    def __post_init__(self) -> None:
        check("side", self.side in _SIDES, "high or low")
        check("large", 0 < self.large < np.inf, "more than 0")
        check("small", 0 < self.small < np.inf, "more than 0")
        check("decay", 0 < self.decay < np.inf, "more than 0")
        check("samples", self.samples >= 2, "at least 2 sampled steps")

    @property
    def _lasting(self) -> int:
        return self.samples if self.side == "high" else 4 * self.samples

    @property
    def lookback(self) -> int:
        """As many sampled steps as must show it; of small ones four times as many."""
        return self._lasting

    def __call__(self, window: Window) -> Verdicts:
        """BAD where it shows; high only at the end of the first samples, and OK from then on."""
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        layers, n, need = window.layers, len(window.steps), self._lasting
        if window.values.ndim == 1:
            known = np.isfinite(window.values)
            return Verdicts(in_a_row(window, window.values >= self.decay, known, self.samples))
        if layers is None or n < need or not window.new:
            return Verdicts(health)
        ratios = window.values[:, weights(layers, self.side == "low")]
        # One weight alone, or nothing but embeddings: a linear or bilinear model, whose weights
        # begin as small noise that means nothing and grow to the solution.
        if ratios.shape[1] < 2 or not len(weights(layers, True)):
            return Verdicts(health)
        views: Floats = np.lib.stride_tricks.sliding_window_view(ratios, need, axis=0)
        first = max(0, n - window.new - need + 1)
        bad: NDArray[np.bool_] = self._sick(views[first:], layers).max(axis=1)
        at = np.arange(first, first + len(bad)) + need - 1
        judged = np.where(bad, Health.BAD, Health.OK)
        if self.side == "high":
            early = window.index + at + 1 == need
            judged = np.where(early, judged, Health.OK)
        health[at - (n - window.new)] = judged
        return Verdicts(health)

    def _sick(self, views: Floats, layers: Layers) -> NDArray[np.bool_]:
        """Per window and weight, from [K, N, samples]."""
        if self.side == "high":
            known: NDArray[np.bool_] = np.asarray(np.isfinite(views).all(axis=2))
            sick = np.asarray((views >= self.large).all(axis=2) & known)
            if not sick.any():
                return sick
            sick &= np.where(known[:, :, None], views, 0.0).sum(axis=2) >= IN_ALL * self.large
            last = last_ones(layers)
            others = sick[:, ~last].any(axis=1, keepdims=True)
            sick[:, last] &= others | (views[:, last] >= ALONE * self.large).all(axis=2)
            return sick
        levels = median(views)
        fastest = np.fmax.reduce(levels, axis=1)
        # Exactly zero is another fault: unchanged_weights, dead_units.
        slow = (levels < self.small) & (levels > 0)
        return np.asarray(slow & (fastest >= 1000 * self.small)[:, None])

    def explain(self, window: Window) -> Evidence:
        """The weights, worst first, with what a step changes of them."""
        layers = window.layers
        if layers is None:
            return _of_decay(window)
        columns = weights(layers, self.side == "low")
        views = window.values[:, columns].T[None]
        sick = np.flatnonzero(self._sick(views, layers)[0])
        levels = median(views)[0]
        order = sick[np.argsort(levels[sick] * (1 if self.side == "low" else -1))]
        names = tuple(layers.names[columns[i]] for i in order)
        told = ", ".join(
            f"{number(float(levels[i]))} of {n}" for i, n in zip(order[:3], names[:3], strict=True)
        )
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        usual = "usual are 1e-4 to 1e-2"
        seen = (
            f"one step changes {told}{more} (steps {int(window.steps[0])} to "
            f"{int(window.steps[-1])}; {usual})"
        )
        worst = float(levels[order[0]]) if len(order) else float("nan")
        return Evidence(worst, seen, int(window.steps[0]), names)


def _of_decay(window: Window) -> Evidence:
    taken, first, last = float(window.values[-1]), int(window.steps[0]), int(window.steps[-1])
    left = max(0.0, 1.0 - taken) ** 100
    seen = (
        f"it takes {number(taken)} of a group's weights at each step, of which without gradients "
        f"{number(left)} would be left after 100 steps (steps {first} to {last}; usual are 1e-6 to "
        "1e-4)"
    )
    return Evidence(taken, seen, first)


@lru_cache(maxsize=64)
def weights(layers: Layers, no_embeddings: bool) -> NDArray[np.intp]:
    """Columns of the weights that count."""
    chosen = [
        i
        for i, (kind, shape) in enumerate(zip(layers.kinds, layers.shapes, strict=False))
        if len(shape) >= 2
        and math.prod(shape) > max(shape)  # a single output: a vector, as a bias is
        and "norm" not in kind.lower()
        and not (no_embeddings and "embedding" in kind.lower())
    ]
    return np.array(chosen, np.intp)


@lru_cache(maxsize=64)
def last_ones(layers: Layers) -> NDArray[np.bool_]:
    """Which of the weights that count are the last ones of the model, or of a part of it."""
    chosen = weights(layers, False)
    last = np.zeros(len(chosen), np.bool_)
    last[-1:] = True
    last[seams([layers.names[i] for i in chosen], PART)[0]] = True
    return last
