"""Layers whose outputs are far too large or small, hidden by a normalisation behind each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.first_steps import LOOKED_AT, normalising, of_the_first, weighted
from monitor.detectors.robust import check, fold, median, number, quantile
from monitor.points import Evidence, Floats, Health, Layers, Verdicts, Window


@dataclass(frozen=True)
class BadInitHiddenByNorm:
    """At the start, layers blow their input up (or crush it), and norms repair it each time.

    Sees ``act_rms``, the root mean square of each module's output. Layers with weights (linear,
    convolution) right behind which a normalisation runs get an input of about 1 from the
    normalisation before them, so that their output's scale is the factor by which they multiply.
    Bad where, in the run's first sampled step, which shows the initial weights, three quarters of
    these factors are at least ``grow`` and their product is at least ``total``; or three quarters
    are at most ``shrink``, which only counts before batch, group and instance norms. The product
    is what the signal's scale would become without the normalisation. It is told at the second
    sampled step.

    The normalisation makes the loss blind to the weights' scale, but not the optimizer: weights
    that are k times too large learn k**2 times too slowly with SGD, k times with Adam (van
    Laarhoven 2017). Hence nets that do not converge for weeks, and whose output is NaN in the
    second iteration once the normalisation is taken out.

    Defaults: ``grow`` 2.5: He initialisation gives 1, torch's own 0.4, the residual stream of a
    deep residual net brings every other layer to 2 or 3, hence three quarters of them; normals of
    width 1 give sqrt(fan_in / 2): 5.7 for 64 inputs, 17 for a 3x3 convolution of 64 channels.
    ``total`` 100, or nothing would explode. ``shrink`` 0.03: the normals of width 0.02 of GANs
    give 0.08 and more; 0.001 gives 0.02 and less. ``within`` 20: of a run that begins later the
    initial weights were not seen. ``layers`` 3.

    Stays quiet: torch's own, He, Glorot and GAN initialisations before any norm; residual nets,
    with branches that start from zero, too; pre-norm transformers, whose normalisations look at the
    residual stream and whose branches are made small on purpose; nets without normalisation
    (``bad_init`` is for them); resumed runs.

    Source: the article behind the rules (without batch norm the output was NaN at the second
    iteration); van Laarhoven, 2017, L2 Regularization versus Batch and Weight Normalization; the
    factors per layer are our reasoning.
    """

    grow: float = field(
        default=2.5, metadata={"unit": "ratio", "doc": "RMS before the norms that is too large"}
    )
    shrink: float = field(
        default=0.03, metadata={"unit": "ratio", "doc": "RMS before the norms that is too small"}
    )
    total: float = field(
        default=100.0, metadata={"unit": "ratio", "doc": "growth over all layers but for the norms"}
    )  # fmt: skip
    within: int = field(
        default=20, metadata={"unit": "steps", "doc": "a run that begins later was resumed"}
    )
    layers: int = field(
        default=3, metadata={"unit": "points", "doc": "layers before a norm needed to judge"}
    )

    name: ClassVar[str] = "bad_init_hidden_by_norm"
    layered: ClassVar[bool] = True
    lookback: ClassVar[int] = 2
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"stat": "act_rms"}

    def __post_init__(self) -> None:
        check("grow", self.grow > 1, "more than 1")
        check("shrink", 0 < self.shrink < 1, "between 0 and 1")
        check("total", self.total > 1, "more than 1")
        check("within", self.within >= 1, "at least 1 step")
        check("layers", self.layers >= 2, "at least 2 layers")

    def __call__(self, window: Window) -> Verdicts:
        """BAD at the second sampled step if the first one showed it; later OK or UNKNOWN."""
        columns, batch = before_norms(window.layers) if window.layers is not None else _NONE
        past = window.index >= LOOKED_AT
        if past or len(columns) < self.layers or not window.new:
            return Verdicts(np.full(window.new, Health.UNKNOWN, np.int8))
        logs = factors(window, columns)
        known = np.isfinite(logs).sum(axis=1) >= self.layers
        grown = (quantile(logs, 0.25) >= np.log10(self.grow)) & (
            np.nansum(logs, axis=1) >= np.log10(self.total)
        )
        crushed = np.zeros(len(logs), np.bool_)
        if batch.sum() >= self.layers:
            few = logs[:, batch]
            enough = np.isfinite(few).sum(axis=1) >= self.layers
            crushed = enough & (quantile(few, 0.75) <= np.log10(self.shrink))
        sick = known & (grown | crushed)
        return Verdicts(of_the_first(window, sick, known, self.within))

    def explain(self, window: Window) -> Evidence:
        """The scales before the norms and what they would come to."""
        layers = window.layers
        assert layers is not None
        columns, batch = before_norms(layers)
        logs = factors(window, columns)[0]
        grown = float(quantile(logs, 0.25)) >= np.log10(self.grow)
        counts = np.isfinite(logs) & (grown | batch)
        columns, logs = columns[counts], logs[counts]
        names = [layers.names[i] for i in columns]
        order = np.argsort(-logs if grown else logs)
        total = float(np.clip(logs.sum(), -300, 300))
        seen = (
            f"the outputs of {len(names)} layers before their normalisation have RMS "
            f"{number(10.0 ** float(logs.min()))} to {number(10.0 ** float(logs.max()))} (median "
            f"{number(10.0 ** float(median(logs)))}) where about 1 is expected, most "
            f"{'' if grown else 'small '}at {names[order[0]]} (step {int(window.steps[0])}); "
            f"without the normalisation the signal would "
            f"{'grow' if grown else 'shrink'} {fold(10.0 ** abs(total))} over these layers"
        )
        return Evidence(
            10.0 ** float(median(logs)),
            seen,
            int(window.steps[0]),
            tuple(names[i] for i in order),
            {"total": number(10.0**total), "direction": "up" if grown else "down"},
        )


Columns = tuple[NDArray[np.intp], NDArray[np.bool_]]
_NONE: Columns = (np.empty(0, np.intp), np.empty(0, np.bool_))

_ACROSS = ("batchnorm", "groupnorm", "instancenorm")
"""These stand right behind convolutions; layer norms often look at a sum with a residual stream."""


@lru_cache(maxsize=64)
def before_norms(layers: Layers) -> Columns:
    """Columns of modules with weights right before a norm; whether that is no layer norm."""
    kinds = layers.kinds
    chosen = [
        i
        for i in range(len(kinds) - 1)
        if weighted(kinds[i]) and not normalising(kinds[i]) and normalising(kinds[i + 1])
    ]
    across = [any(word in kinds[i + 1].lower() for word in _ACROSS) for i in chosen]
    return np.array(chosen, np.intp), np.array(across, np.bool_)


def factors(window: Window, columns: NDArray[np.intp]) -> Floats:
    """[T, n]: log10 of the root mean squares; NaN where nothing is known."""
    rms = window.values[:, columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = np.where((rms > 0) & np.isfinite(rms), np.log10(rms), np.nan)
    return result
