"""ReLU layers that put out zeros only: no gradient comes through them any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np

from monitor.detectors.first_steps import lasting
from monitor.detectors.robust import check
from monitor.points import Evidence, Health, Layers, Verdicts, Window


@dataclass(frozen=True)
class DeadUnits:
    """ReLU layers most of whose units have died: zero for every input, whatever comes.

    Sees ``act_dead_fraction``: the part of a ReLU layer's units (channels, for a convolution)
    that were zero for every input of the last ten sampled steps and the last 500 inputs, which
    the hook keeps count of; or, of layers of eight units and more, the part of the inputs for
    which not a single unit spoke, the least of the last ten sampled steps, if that is greater. Bad
    where it is at least ``share`` in a layer, in ``samples`` sampled steps in a row. One alert
    names all such layers.

    A ReLU that puts out zero passes no gradient back, so that a unit that is zero for all inputs
    learns nothing any more. A large negative bias does it, or one step that is too large. Nearly
    all zeros are no sign of it: trained transformers have 95 % and more (Li et al. 2023, The Lazy
    Neuron Phenomenon), sparse autoencoders 99.9 %, with other units for other inputs. Hence a
    count per unit (SageMaker Debugger and AUTOTRAINER look at shares of zeros and of zero
    gradients), and one per input: where all units are off at once, nothing of it gets through,
    whether or not each of them speaks once in a thousand inputs.

    Defaults: ``share`` 0.8: narrow nets live with a third of their units dead, and some trained
    at a rate near its limit with half; a rate that is far too high or a bias of -1 leaves one
    unit in twenty or none. ``samples`` 3, beside the ten that the statistic itself looks back on.

    Stays quiet: layers that are mostly zeros while each unit speaks now and then; dropout, pooling
    and embeddings, which are not looked at; leaky and smooth activations, which cannot die; experts
    that are not chosen (a module that does not run is unknown). Misses: activations that are no
    modules (``torch.relu``), and what died before the last 500 inputs were seen.

    Source: Lu et al., 2020, Dying ReLU and Initialization; SageMaker Debugger's dead_relu and
    AUTOTRAINER (Zhang et al., ICSE 2021) for the symptom; the count per unit is our reasoning.
    """

    share: float = field(
        default=0.8, metadata={"unit": "ratio", "doc": "part of a layer's units that are dead"}
    )
    samples: int = field(
        default=3, metadata={"unit": "points", "doc": "sampled steps in a row that must show it"}
    )

    name: ClassVar[str] = "dead_units"
    layered: ClassVar[bool] = True
    context: ClassVar[tuple[str, ...]] = ("learning_rate",)
    default_match: ClassVar[Mapping[str, str]] = {"stat": "act_dead_fraction"}

    def __post_init__(self) -> None:
        check("share", 0 < self.share <= 1, "more than 0, at most 1")
        check("samples", self.samples >= 1, "at least 1 sampled step")

    @property
    def lookback(self) -> int:
        """As many sampled steps as must show it."""
        return self.samples

    def __call__(self, window: Window) -> Verdicts:
        """BAD where a layer was dead in all of the last samples, OK where none is now."""
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        if not window.new:
            return Verdicts(health)
        begin = len(window.steps) - window.new
        known = window.values <= 1.0
        sick = known & (window.values >= self.share)
        health[(known.max(axis=1) & ~sick.max(axis=1))[begin:]] = Health.OK
        if sick.any():
            health[lasting(sick, self.samples)[begin:].max(axis=1)] = Health.BAD
        return Verdicts(health)

    def explain(self, window: Window) -> Evidence:
        """The layers and how many of their units are dead, the first in depth order first."""
        layers = window.layers
        assert layers is not None
        lows = window.values.min(axis=0)
        dead = np.flatnonzero(lows >= self.share)
        ran = int((window.values[-1] <= 1.0).sum())
        told = ", ".join(
            f"{100 * float(lows[i]):.0f} % at {named(layers, int(i))}" for i in dead[:3]
        )
        more = f" and {len(dead) - 3} more" if len(dead) > 3 else ""
        seen = (
            f"{len(dead)} of {ran} ReLU layers have units that are zero for every input, or are "
            f"zero as a whole for most inputs: {told}{more} (steps {int(window.steps[0])} to "
            f"{int(window.steps[-1])}, each looking back on ten samples)"
        )
        names = tuple(layers.names[i] for i in dead)
        return Evidence(
            float(lows.max(initial=0.0, where=lows <= 1.0)), seen, int(window.steps[0]), names
        )


@lru_cache(maxsize=64)
def fed_by(layers: Layers) -> Mapping[str, str]:
    """Activation -> the module right before it."""
    pairs = zip(layers.names, layers.followed_by, strict=False)
    return {after.rpartition(":")[0]: name for name, after in pairs if after}


def named(layers: Layers, i: int) -> str:
    """An activation with the module that feeds it, whose weights are to be looked at."""
    before = fed_by(layers).get(layers.names[i])
    return layers.names[i] + (f" (after {before})" if before else "")
