"""Sigmoid and tanh layers at their bounds, and attention that begins one-hot: no gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.first_steps import early, lasting, weighted
from monitor.detectors.robust import check, number
from monitor.points import Evidence, Floats, Health, Layers, Verdicts, Window

_BOUNDED = frozenset({"sigmoid", "hardsigmoid", "tanh", "softsign"})
_UNBOUNDED = ("elu", "silu", "swish", "mish", "softplus")
"""Parts of the names of ReLU, GELU, SELU, ..., GELUActivation, Hardswish, ..."""


SHARP = 0.5
"""Part of the rows of attention that are one-hot (an entry over 0.99) before anything is learnt.
Scores of width 1, which is what they are divided by the root of the head's width for, give none
among eight entries and more; of width 8, a usual root, a fifth to a third; of width 16 a half and
more. Attention that was trained before has sharp rows too, but hardly in most of them."""


@dataclass(frozen=True)
class SaturatedUnits:
    """Hidden sigmoid or tanh layers most of whose outputs lie at the bounds, and stay there.

    Sees ``act_saturated_fraction``: the part of a layer's outputs within 1 % of a bound, where
    the slope is below 4 % of its greatest for a sigmoid and 2 % for tanh. Only hidden
    activations count: sigmoid and tanh layers behind which a layer with weights still runs, and
    which stand alone. Bad where more than half of these have, in ``samples`` sampled steps in a
    row, at least ``share`` of their outputs at the bounds; or at least ``start`` of them within
    the run's first ``within`` steps. There, too, where more than half of the hidden softmax layers
    have an entry over 0.99 in half of their rows: attention that is one-hot before anything is
    learnt looks at one place by chance, and passes no gradient on to find a better one.

    Defaults: ``share`` 0.8: tanh nets that are trained to a loss of 0 come to 0.5 in their last
    layers, since that is how a classifier becomes sure; steps that are far too large come to
    0.9. ``start`` 0.3: no initialisation in use puts 5 % there (torch's own and Glorot's below
    1 %), normals of width 1 put 30 to 90 %. ``within`` 20 steps. ``samples`` 5: one odd batch is no
    evidence. SageMaker Debugger wants half of a layer's units beyond 9.5 (tanh) or 23 (sigmoid),
    where single precision ends; learning has ended long before.

    Stays quiet: output activations (nothing with weights behind them), however sure; gates:
    sigmoids and tanhs one right behind the other (LSTM and GRU cells, gated convolutions), and
    single ones in nets whose other activations are ReLU, GELU or the like (squeeze-and-excitation,
    poolers, generators within a larger model); softmax after the first steps, because attention
    that has learnt to be sharp is healthy, and rows of less than eight entries; hardtanh, which
    is flat by design. Misses: activations that are no modules (``torch.tanh``, torch's own
    attention), recurrent layers of torch's own, and a few saturated layers among many that are
    well. Cannot tell: attention that was sharp when training was taken up from step 0.

    Source: Glorot and Bengio, AISTATS 2010, for saturation; the article behind the rules
    (sigmoid passes no gradient in deep nets); SageMaker Debugger's saturated_activation; which
    layers count is our reasoning.
    """

    share: float = field(
        default=0.8, metadata={"unit": "ratio", "doc": "part of the outputs at the bounds"}
    )
    start: float = field(
        default=0.3, metadata={"unit": "ratio", "doc": "the same, within the first steps"}
    )
    within: int = field(
        default=20, metadata={"unit": "steps", "doc": "the first steps, for which 'start' counts"}
    )
    samples: int = field(
        default=5, metadata={"unit": "points", "doc": "sampled steps in a row that must show it"}
    )

    name: ClassVar[str] = "saturated_units"
    layered: ClassVar[bool] = True
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"stat": "act_saturated_fraction"}

    def __post_init__(self) -> None:
        check("share", 0 < self.share <= 1, "more than 0, at most 1")
        check("start", 0 < self.start <= 1, "more than 0, at most 1")
        check("within", self.within >= 1, "at least 1 step")
        check("samples", self.samples >= 1, "at least 1 sampled step")

    @property
    def lookback(self) -> int:
        """As many sampled steps as must show it."""
        return self.samples

    def __call__(self, window: Window) -> Verdicts:
        """BAD where most layers were saturated in all of the last samples."""
        layers = window.layers
        squashing, rows = (hidden(layers), attending(layers)) if layers else (_NONE, _NONE)
        found = [self._squashed(window, squashing)] if len(squashing) else []
        found += [self._one_hot(window, rows)] if len(rows) else []
        if not found or not window.new:
            return Verdicts(np.full(window.new, Health.UNKNOWN, np.int8))
        both = np.stack(found)
        bad = (both == Health.BAD).any(axis=0)
        return Verdicts(np.where(bad, Health.BAD, both.min(axis=0)).astype(np.int8))

    def _one_hot(self, window: Window, columns: NDArray[np.intp]) -> NDArray[np.int8]:
        """Of softmax layers: BAD in the first steps only, OK once most of them are not sharp."""
        begin = len(window.steps) - window.new
        values = window.values[:, columns]
        known = (values <= 1.0).sum(axis=1)[begin:]
        sharp = values >= SHARP
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        health[(known > 0) & ~most(sharp[begin:], known)] = Health.OK
        bad = early(window, self.within)[begin:]
        bad &= most(lasting(sharp, self.samples)[begin:], known)
        health[bad] = Health.BAD
        return health

    def _squashed(self, window: Window, columns: NDArray[np.intp]) -> NDArray[np.int8]:
        """Of sigmoid and tanh layers."""
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        values = window.values[:, columns]
        begin = len(values) - window.new
        fraction = values <= 1.0
        known = fraction.sum(axis=1)[begin:]
        suspect = fraction & (values >= min(self.share, self.start))
        health[(known > 0) & ~most(suspect[begin:], known)] = Health.OK
        if suspect.any():
            late, at_start = (fraction & (values >= x) for x in (self.share, self.start))
            bad = most(lasting(late, self.samples)[begin:], known)
            first = early(window, self.within)[begin:]
            bad |= first & most(lasting(at_start, self.samples)[begin:], known)
            health[bad] = Health.BAD
        return health

    def explain(self, window: Window) -> Evidence:
        """The layers and how much of each lies at the bounds, the worst first."""
        layers = window.layers
        assert layers is not None
        lows = window.values.min(axis=0)
        what, columns = "hidden sigmoid or tanh layers sit at their bounds", hidden(layers)
        limit = self.share if most_of(lows[columns], self.share) else self.start
        if not most_of(lows[columns], limit):
            what, columns = "softmax layers look at one place only in most rows", attending(layers)
            limit = SHARP
        lows = lows[columns]
        order = [i for i in np.argsort(-lows, kind="stable") if lows[i] >= limit]
        names = tuple(layers.names[columns[i]] for i in order)
        told = ", ".join(
            f"{100 * float(lows[i]):.0f} % at {names[k]} ({layers.kinds[columns[i]]})"
            for k, i in enumerate(order[:3])
        )
        more = f" and {len(order) - 3} more" if len(order) > 3 else ""
        seen = (
            f"{len(order)} of {len(columns)} {what} in each of {len(window.steps)} samples (steps "
            f"{int(window.steps[0])} to {int(window.steps[-1])}): at least {told}{more}"
        )
        worst = float(lows[order[0]])
        return Evidence(
            worst, seen, int(window.steps[0]), names, {"saturated": number(100 * worst)}
        )


def most(layers: NDArray[np.bool_], known: NDArray[np.intp]) -> NDArray[np.bool_]:
    """[T]: whether more than half of the ``known`` layers are among ``layers`` [T, n]."""
    result: NDArray[np.bool_] = 2 * layers.sum(axis=1) > known
    return result


def most_of(lows: Floats, limit: float) -> bool:
    """Whether more than half of the known layers [n] are not below ``limit``."""
    return bool(2 * (lows >= limit).sum() > np.isfinite(lows).sum())


_NONE = np.empty(0, np.intp)


@lru_cache(maxsize=64)
def hidden(layers: Layers) -> NDArray[np.intp]:
    """Columns of the hidden sigmoid and tanh activations: no outputs, no gates."""
    kinds = [kind.lower() for kind in layers.kinds]
    bounded = [kind in _BOUNDED for kind in kinds]
    last = max((i for i, kind in enumerate(kinds) if weighted(kind)), default=-1)
    chosen = [
        i
        for i in range(len(kinds))
        if bounded[i] and i < last and not (i and bounded[i - 1]) and not bounded[i + 1]
    ]
    others = sum(any(word in kind for word in _UNBOUNDED) for kind in kinds)
    return np.array(chosen if len(chosen) > others else [], np.intp)


@lru_cache(maxsize=64)
def attending(layers: Layers) -> NDArray[np.intp]:
    """Columns of the softmax layers behind which a layer with weights still runs."""
    last = max((i for i, kind in enumerate(layers.kinds) if weighted(kind)), default=-1)
    chosen = [i for i, kind in enumerate(layers.kinds) if kind.lower() == "softmax" and i < last]
    return np.array(chosen, np.intp)
