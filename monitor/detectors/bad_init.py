"""Initial weights that no training can use: of the wrong scale, or all alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors import vanishing_gradient as gradients
from monitor.detectors.first_steps import LOOKED_AT, of_the_first, weighted
from monitor.detectors.parts import NO_SEAMS, Seams, seams
from monitor.detectors.robust import check, fold, number
from monitor.points import Evidence, Floats, Health, Layers, Verdicts, Window

OVER_GUESS = "health/cost_over_guess"
AFTER = 5
"""Sampled steps after which great scores are told: saturated layers, which may be why, are told by
then."""


@dataclass(frozen=True)
class BadInit:
    """At the start, the signal's or the gradient's scale is a geometric series over depth.

    Sees ``act_rms`` (the root mean square of each module's output), or ``grad_norm`` if the
    rule's match says so, in depth order. Of modules, those with weights count (linear and
    convolution layers), before normalisation and activation; of parameters, weights, at the root
    mean square of the gradient's elements. As in ``vanishing_gradient`` they are put into up to
    six neighbourhoods with a median each, and a line is laid through the logarithms (Theil and
    Sen). Bad where, in the run's first sampled step, which shows the initial weights, the line
    rises or falls by ``change`` from the first layer to the last, and ``order`` of the pairs of
    neighbourhoods are in that order (Kendall's tau). It is told at the second sampled step.

    Pointed at a scalar, ``health/layers_of_equal_units``, it sees how many layers have units with
    the same weights and the same gradient, all of them (the hook compares them at the first three
    sampled steps): bad from one on, since such units stay the same for ever, and a layer of a
    hundred does what one would.

    Pointed at ``health/cost_over_guess``, it sees what the model's first predictions cost, as a
    cross-entropy by example, over what guessing would, ln(classes); of the right label or of any,
    whichever is less. Bad where that is ``guess`` or more in the first sampled step, told at the
    sixth. The hook reads
    labels and predictions off the autograd graph, so that it is the same however a script scales,
    weights or sums its loss.

    Each layer multiplies the variance by fan_in * Var(w), halved by a ReLU: variance-scaling
    initialisation (Glorot and Bengio 2010; He et al. 2015) makes that 1, and any other number
    is raised to the power of the depth. Random weights also break the symmetry between units;
    constants, zeros, or one filter copied into all, do not. A network that knows nothing and costs
    more than a guess is certain of it: its scores are too far apart, because its last layer, or an
    embedding that is one as well, begins too wide. All its first steps go into unlearning that.

    Defaults: ``change`` 100: torch's own initialisation lets the signal of a ReLU net fall by
    0.41 a layer, until its biases hold it at 1 / sqrt(3 fan_in): a factor of about 30 for layers of
    up to 1,000 inputs, and trainable. Normals of width 1 reach 100 in three layers of 64.
    Gradients have no such floor: eight or ten layers of torch's own come to 1,000 and more, which
    Adam makes up for, so that the rule for them takes 10,000. ``order`` 0.8: one neighbourhood of
    six may stand out, such as a last layer that is scaled down on purpose. ``guess`` 5: ten scores
    of width s cost ln(10) + s^2 / 2 while s is small and about 1.5 s when it is not, which is 5
    ln(10) at 7.5, where the softmax is all but one-hot, while torch's own last layers begin below
    1; a network trained on other labels costs 2 to 4 times a guess. ``within`` 20: of a run
    that begins later the initial weights were not seen. ``layers`` 4: three make no series. It is
    looked for 200 sampled steps whether training heals it.

    Stays quiet: last layers, adapters and branches that begin at zero, whose units get gradients of
    their own; a change three quarters of which lie between two neighbouring layers, or half of
    which between parts of different names, which is no series; nets with normalisation, whose
    signal starts anew at each (but see ``bad_init_hidden_by_norm``); residual nets and
    transformers, whose branches stand beside each other; autoencoders, whose widths vary; resumed
    runs; what the first updates blow up. Gradients that fall through sigmoid or tanh layers are
    left to ``vanishing_gradient``. Of regressions, of losses of one's own making and of compiled
    ones the cost over a guess is not known. Misses: weights so small that biases make up the
    signal, which only the gradients tell.

    Source: the article behind the rules (variance-scaling initialisation did better than all
    others); Glorot and Bengio, AISTATS 2010; He et al., ICCV 2015; Karpathy, A Recipe for Training
    Neural Networks, 2019 (verify the loss at init); the limits are our reasoning.
    """

    change: float = field(
        default=100.0,
        metadata={"unit": "ratio", "doc": "scale at one end of the net over that at the other"},
    )
    order: float = field(
        default=0.8,
        metadata={"unit": "ratio", "doc": "how monotone the change must be: Kendall's tau"},
    )
    guess: float = field(
        default=5.0,
        metadata={"unit": "ratio", "doc": "cost of the first predictions over that of a guess"},
    )
    within: int = field(
        default=20, metadata={"unit": "steps", "doc": "a run that begins later was resumed"}
    )
    layers: int = field(
        default=4, metadata={"unit": "points", "doc": "layers with weights needed to judge"}
    )

    name: ClassVar[str] = "bad_init"
    layered: ClassVar[bool | None] = None
    lookback: ClassVar[int] = AFTER + 1
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"stat": "act_rms"}

    def __post_init__(self) -> None:
        check("change", self.change > 1, "more than 1")
        check("order", 0 <= self.order <= 1, "between 0 and 1")
        check("guess", self.guess > 1, "more than 1")
        check("within", self.within >= 1, "at least 1 step")
        check("layers", self.layers >= 3, "at least 3 layers")

    def __call__(self, window: Window) -> Verdicts:
        """BAD at the second sampled step if the first one showed it; later OK or UNKNOWN."""
        if window.layers is None and window.values.ndim == 1:
            if window.key.tag != OVER_GUESS:
                return Verdicts(self._of_equal_units(window))
            known = np.isfinite(window.values)
            sick = window.values >= self.guess
            return Verdicts(of_the_first(window, sick, known, self.within, AFTER))
        columns = counted(window.layers) if window.layers is not None else gradients.NO_COLUMNS
        past = window.index >= LOOKED_AT
        if past or len(columns[0]) < self.layers or not window.new:
            return Verdicts(np.full(window.new, Health.UNKNOWN, np.int8))
        logs = gradients.scales(window, columns)
        decades, tau, known = gradients.slopes(logs, self.layers)
        sick = known & (np.abs(decades) >= np.log10(self.change)) & (np.abs(tau) >= self.order)
        if sick.any():
            sick &= ~gradients.stepwise(logs, decades, joints(window.layers))
            if squashed(window.layers):
                sick &= decades < 0
        return Verdicts(of_the_first(window, sick, known, self.within))

    def _of_equal_units(self, window: Window) -> NDArray[np.int8]:
        """Of a count of layers, which is told in the first sampled steps."""
        counts = window.values[len(window.steps) - window.new :]
        some = (counts >= 1) & np.isfinite(counts)
        health = np.where(some, Health.BAD, np.where(counts == 0, Health.OK, Health.UNKNOWN))
        if window.first_step >= self.within:
            health[:] = Health.UNKNOWN
        return health.astype(np.int8)

    def explain(self, window: Window) -> Evidence:
        """The scale at both ends, and the factor from one layer to the next."""
        layers = window.layers
        if layers is None:
            return _of_guess(window) if window.key.tag == OVER_GUESS else _of_count(window)
        columns = counted(layers)
        logs = gradients.scales(window, columns)[0]
        decades = float(gradients.slopes(logs[None], self.layers)[0][0])
        known = np.flatnonzero(np.isfinite(logs))
        names = [layers.names[columns[0][i]] for i in known]
        logs = logs[known]
        each = 10.0 ** (decades / (len(known) - 1))
        what = "gradient" if any(layers.shapes) else "signal"
        # A gradient is told in the direction in which it flows.
        grows = (decades > 0) != (what == "gradient")
        first, last = (-1, 0) if what == "gradient" else (0, -1)
        seen = (
            f"the {what} {'grows' if grows else 'shrinks'} {fold(10.0 ** abs(decades))} over "
            f"{len(known)} layers, by {number(max(each, 1.0 / each))} from each to the next: RMS "
            f"{number(10.0 ** logs[first])} at {names[first]}, {number(10.0 ** logs[last])} at "
            f"{names[last]} (step {int(window.steps[0])})"
        )
        order = np.argsort(-logs if decades > 0 else logs)
        if what == "gradient":
            order = np.argsort(logs if decades > 0 else -logs)
        worst = tuple(names[i] for i in order[: max(1, len(known) // 2)])
        facts = {"ratio": number(10.0 ** abs(decades)), "direction": "up" if grows else "down"}
        return Evidence(10.0 ** abs(decades), seen, int(window.steps[0]), worst, facts)


def _of_count(window: Window) -> Evidence:
    count, step = int(window.values[-1]), int(window.steps[-1])
    some = "1 layer" if count == 1 else f"{count} layers"
    seen = f"all units of {some} have the same weights and (nearly) the same gradient (step {step})"
    return Evidence(float(count), seen, step)


def _of_guess(window: Window) -> Evidence:
    cost, step = float(window.values[0]), int(window.steps[0])
    seen = (
        f"by example the first predictions cost {number(cost)} times what guessing would (a "
        f"cross-entropy of ln(classes); step {step})"
    )
    return Evidence(cost, seen, step)


@lru_cache(maxsize=64)
def counted(layers: Layers) -> gradients.Columns:
    """Columns that count, and what to subtract from their logarithms."""
    if any(layers.shapes):
        return gradients.weights(layers)
    chosen: NDArray[np.intp] = np.flatnonzero([weighted(kind) for kind in layers.kinds])
    nothing: Floats = np.zeros(len(chosen))
    return chosen, nothing


@lru_cache(maxsize=64)
def joints(layers: Layers | None) -> Seams:
    """Where parts of the model meet, among the layers that count."""
    if layers is None:
        return NO_SEAMS
    return seams([layers.names[i] for i in counted(layers)[0]], gradients.PART)


@lru_cache(maxsize=64)
def squashed(layers: Layers | None) -> bool:
    """Whether these are parameters some of whose layers run into a sigmoid or tanh."""
    if layers is None or not any(layers.shapes):
        return False
    return bool(gradients.squashing(layers, counted(layers)[0].tolist()))
