"""A run that goes on with an optimizer that has forgotten its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.robust import check, number
from monitor.points import Evidence, Health, Verdicts, Window

LOSS = "train_loss"


@dataclass(frozen=True)
class OptimizerStateLost:
    """The run was resumed without the optimizer's state: steps go on, its count begins anew.

    Sees how many steps the optimizer's own state has counted (``health/optimizer_steps``: Adam's
    bias correction needs that number; for momentum without a counter the hook counts from when
    the buffers were empty). Bad where at most ``fresh`` are counted although ``resumed`` more
    steps have gone by: after a point that had counted more, or at the first point of a run, which
    then began at a later step.

    Without its moments Adam's next steps are as large as at the very start, each weight by the
    whole learning rate, and the loss leaps; after 1 / (1 - beta2) steps, ``recovered``, the
    moments are there again, and until then the alert stays.

    Defaults: ``fresh`` 10: the first steps are all looked at, but records may be lost; a resumed
    run counts hundreds. ``resumed`` 20: more than what is skipped at a start (loss scaling).
    ``recovered`` 1000, for the usual beta2 of 0.999.

    Stays quiet: a clean resume, to the same step or an older one; fine-tuning, whose steps begin
    at zero; runs that are numbered by batches or environment steps, which the hook does not
    compare; plain SGD, which keeps no state. Cannot tell a new optimizer made on purpose
    for a second stage from one whose state was lost.

    Needs the hook with its ``first_step``, or ``health.step``, set to where the run goes on; a
    jump of the loss alone, without the hook, has too many other causes.

    Source: Kingma & Ba, 2015, Adam, for the moments and their bias correction; PyTorch's guide to
    saving general checkpoints, which asks for the optimizer's state; the comparison of the two
    counts is our reasoning.
    """

    fresh: int = field(
        default=10, metadata={"unit": "steps", "doc": "what a state that is new counts at most"}
    )
    resumed: int = field(
        default=20, metadata={"unit": "steps", "doc": "how many steps the count lags behind"}
    )
    recovered: int = field(
        default=1000, metadata={"unit": "steps", "doc": "steps after which it has been rebuilt"}
    )

    name: ClassVar[str] = "optimizer_state_lost"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = (LOSS,)
    default_match: ClassVar[Mapping[str, str]] = {"tag": "health/optimizer_steps*"}

    def __post_init__(self) -> None:
        check("fresh", self.fresh >= 1, "at least 1 step")
        check("resumed", self.resumed >= 1, "at least 1 step")
        check("recovered", self.recovered > self.fresh, "more than `fresh`")

    @property
    def lookback(self) -> int:
        """The point and the one before it."""
        return 2

    def __call__(self, window: Window) -> Verdicts:
        """BAD where the count has begun anew; nothing is known until the state is rebuilt."""
        begin = len(window.steps) - window.new
        health = np.where(window.values >= self.recovered, Health.OK, Health.UNKNOWN)
        health[self._lost(window)] = Health.BAD
        return Verdicts(health[begin:].astype(np.int8))

    def _lost(self, window: Window) -> NDArray[np.bool_]:
        """[T]; of the first point only where it is the attempt's first, too."""
        known = np.isfinite(window.values)
        counts, steps = np.where(known, window.values, np.nan), window.steps
        lost = np.zeros(len(counts), np.bool_)
        few = counts <= self.fresh
        lost[1:] = few[1:] & (counts[:-1] - counts[1:] >= self.resumed)
        if window.index == 0:
            lost[:1] = few[:1] & (steps[:1] + 1 - counts[:1] >= self.resumed)
        return lost

    def explain(self, window: Window) -> Evidence:
        """The two counts, and the loss until then."""
        count, step = float(window.values[-1]), int(window.steps[-1])
        seen = f"at step {step} the optimizer's state counts {number(count)} steps"
        if len(window.values) > 1:
            seen += f"; at step {int(window.steps[-2])} it had counted {number(window.values[-2])}"
        loss = float(window.context[LOSS][-1])
        if np.isfinite(loss):
            seen += f" (training loss until then {number(loss)})"
        return Evidence(count, seen, step)
