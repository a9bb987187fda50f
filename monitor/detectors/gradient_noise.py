"""Gradients that are mostly noise: a step cannot tell the way from chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.robust import Bins, bins_of, check, middle, number
from monitor.points import OK, UNKNOWN, Curve, Evidence, Floats, Health, Verdict

NORM = "grad_norm"


@dataclass(frozen=True)
class GradientNoise:
    """Batches so small that the loss and its gradient are chance, and nothing comes of it.

    Sees the training loss and, beside it, the norm of the gradient. Bad where the noise of the
    loss from one point to the next is at least ``factor`` times what the whole run has gained
    (mean of the first eighth less that of the last quarter) and the norms of the second half
    scatter by at least ``scatter``, as a standard deviation of their logarithm.

    A mean over B examples scatters by 1 / sqrt(B) of what one example does. Single examples
    differ from each other by about as much as they are, in the loss and in the gradient; in
    batches of ten or more neither shows. A run that gains little while it is so noisy walks at
    random: larger batches (or accumulation, or a lower rate) help at once.

    Defaults: ``factor`` 5: batches of one and two examples that do learn come to 2 or less by
    ``points`` 800, and a chance gain among so many has a standard error of a tenth of the noise.
    ``scatter`` 0.5: batches of one have 0.6 to 1, of 16 and more 0.1 to 0.3.

    Stays quiet: small batches that learn nevertheless; losses that stand still without such
    scatter (a plateau, labels that say nothing); clipped gradients; runs whose gradient norm is
    not known. Cannot tell: noise in the labels from noise of the batch; and batches of many
    alike norms that point everywhere: how gradients of two steps lie to each other would show it
    for large models only, of small ones hundreds of pairs would be needed. For information only.

    Source: McCandlish et al., 2018, An Empirical Model of Large-Batch Training, for the noise scale
    and what it says of the batch size; telling it from the scatter of losses and norms is our
    reasoning.
    """

    factor: float = field(
        default=5.0, metadata={"unit": "ratio", "doc": "noise of the loss over the whole gain"}
    )
    scatter: float = field(
        default=0.5, metadata={"unit": "ratio", "doc": "scatter of the gradient norm's logarithm"}
    )
    points: int = field(
        default=800, metadata={"unit": "points", "doc": "points of the loss before judging"}
    )

    name: ClassVar[str] = "gradient_noise"
    context: ClassVar[tuple[str, ...]] = (NORM,)
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("factor", self.factor >= 1, "at least 1")
        check("scatter", 0 < self.scatter < math.inf, "more than 0")
        check("points", self.points >= 100, "at least 100 points")

    def judge(self, curve: Curve) -> Verdict:
        """Judges the curve so far."""
        bins = bins_of(curve)
        n = len(bins)
        if bins.points < self.points or n < 32:
            return UNKNOWN
        noise = bins.noise(slice(n // 2, n))
        gain = abs(float(bins.mean[: n // 8].mean()) - float(bins.mean[-(n // 4) :].mean()))
        if noise < self.factor * gain or noise <= 0:
            return OK
        scatter = scatter_of(curve.context.get(NORM, _NONE)[curve.count // curve.per_bin // 2 :])
        if not scatter >= self.scatter:  # unknown, too
            return OK
        return self._bad(bins, noise, gain, scatter)

    def _bad(self, bins: Bins, noise: float, gain: float, scatter: float) -> Verdict:
        step = int(bins.steps[-1])
        seen = (
            f"from point to point the loss jumps by {number(noise)} (standard deviation), and in "
            f"all it has moved by {number(gain)} by step {step}; gradient norms scatter "
            f"{number(math.exp(scatter))}-fold"
        )
        return Verdict(Health.BAD, Evidence(noise, seen, int(bins.steps[0])))


_NONE: Floats = np.empty(0)


def scatter_of(norms: Floats) -> float:
    """Standard deviation of the logarithm from one norm to the next; NaN of fewer than 16.

    Norms as of a loss's points: where they are told more rarely, one stands for several points.
    """
    known = norms[np.isfinite(norms) & (norms > 0)]
    logs = np.log(known)
    jumps = np.abs(np.diff(logs))
    jumps = jumps[jumps > 0]
    return middle(jumps) / 0.954 if len(jumps) >= 16 else math.nan
