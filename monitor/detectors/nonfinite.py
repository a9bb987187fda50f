"""A value that is NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.robust import check, number
from monitor.points import FINITE, LAYER_PREFIX, Evidence, Health, Layers, Range, Verdicts, Window

LOOKBACK = 64


@dataclass(frozen=True)
class NonFinite:
    """A value that is NaN or infinite.

    Sees every point of a scalar series, or, of layers, the flags ``act_nonfinite`` and
    ``grad_nonfinite``, and then names the layer where it began: the first one on the way from the
    input of which some output was not finite, the first one on the way back from the loss whose
    gradient was not. With ``where: start`` only a point within ``within`` steps of the attempt's
    first one counts, and only if the attempt began near step 0: NaN in the first steps speaks of
    initialisation or inputs, NaN later of the learning rate or of numerics. A resumed run has no
    start. A NaN on the other side of the border is UNKNOWN, so that it does not resolve the
    alert about the first one.

    Defaults: ``within`` 100 steps, since a bad initialisation shows in the first few updates
    (the article behind the rules saw NaN at the second) and warm-up may delay it somewhat.

    Stays quiet: huge finite values; infinite gradient norms, if it is pointed at the loss only:
    skipped fp16 steps make those; modules that put out minus infinity from the first step on, as
    attention masks do, while the last module's output is finite.

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
    layered: ClassVar[bool | None] = None
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def __post_init__(self) -> None:
        check("where", self.where in {"any", "start", "later"}, "one of any, start, later")
        check("within", self.within >= 1, "at least 1 step")

    @property
    def lookback(self) -> int:
        """How far back the last finite value, or the last time that a layer was well, may be."""
        return LOOKBACK

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
        if window.layers is not None:
            broken = _turned(window).max(axis=1, initial=False)[begin:]
            # What has been so for as long as can be looked back neither fires nor resolves.
            health[(window.values[begin:] > 0).max(axis=1, initial=False)] = Health.UNKNOWN
        else:
            broken = ~np.isfinite(window.values[begin:])
        if broken.any():
            counts = self._counts(window, begin)
            health[broken] = np.where(counts[broken], Health.BAD, Health.UNKNOWN)
        return Verdicts(health)

    @property
    def never_bad(self) -> tuple[Range, ...]:
        """Finite values."""
        return (FINITE,)

    def explain(self, window: Window) -> Evidence:
        """The value, and the last finite one before it; of layers, the one where it began."""
        if window.layers is not None:
            return _first_layer(window, window.layers)
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


def _turned(window: Window) -> NDArray[np.bool_]:
    """[T, N]: flags that count.

    Of gradients any. Of outputs those that were not there at some time within the lookback, and
    all if the last module's, the network's own, is among them.
    """
    flags: NDArray[np.bool_] = window.values > 0
    if not flags.any() or not _of_outputs(window):
        return flags
    well = np.cumsum(np.pad(window.values == 0, ((1, 0), (0, 0))), axis=0)
    at = np.arange(len(flags))
    was_well = well[at] - well[np.maximum(at - LOOKBACK + 1, 0)] > 0
    known = ~np.isnan(window.values)
    last = known.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    return np.asarray(flags & (was_well | flags[at, last][:, None]))


def _of_outputs(window: Window) -> bool:
    return window.key.tag == LAYER_PREFIX + "act_nonfinite"


def _first_layer(window: Window, layers: Layers) -> Evidence:
    """Names the layers, where it began first."""
    step, outputs = int(window.steps[-1]), _of_outputs(window)
    now = np.flatnonzero(_turned(window)[-1])
    if not outputs:
        now = now[::-1]
    flags = window.values[:, now] > 0
    since = len(flags) - 1
    while since > 0 and flags[since - 1].any():
        since -= 1
    onset, first = int(window.steps[since]), layers.names[now[np.argmax(flags[since])]]
    names = tuple(layers.names[i] for i in now)
    known = int((~np.isnan(window.values[-1])).sum())
    what, way = ("output", "from the input") if outputs else ("gradient", "back from the loss")
    seen = (
        f"at step {onset} the {what} of {first} was not finite, the first on the way {way}; at "
        f"step {step} it is so of {len(names)} of {known} {what}s"
    )
    return Evidence(float(len(names)), seen, onset, names)
