"""Can the model overfit one batch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from monitor.experiments.causes import causes
from monitor.experiments.losses import Known, recognise
from monitor.experiments.report import Finding, Outcome, Unknown
from monitor.experiments.rows import Rows, choose
from monitor.experiments.text import number
from monitor.experiments.trial import Replica, Trial

NAME = "overfit"

LEARNING_RATES = (1e-3, 1e-2, 1e-4)
"""About 0.001 suits Adam in many settings; then ten times more and less."""

STEPS = 300
"""Steps at each rate before the best one is given more."""

MOST = 2000
"""Steps at the best rate, as long as its loss is still falling."""

LEFT = 0.01
"""Share of the loss above its floor, against the best answer that ignores the input, that may be
left: for a squared error, 99 % of the variance explained."""

LEFT_ABSOLUTE = 0.1
"""... of a mean absolute error, which is about the root of it."""

RIGHT = 0.99
"""Share of class numbers that must be right where the loss has not come down."""

UNKNOWN_LEFT = 0.1
"""Share of the first loss that may be left of a loss whose floor is not known."""

UNKNOWN_STUCK = 0.5
"""... and from which it failed. In between it may well have reached a floor above zero, such as
smoothed labels or a Kullback-Leibler term have."""

FALLING = 0.9
"""Fall of the loss above its floor over the last third of the steps that counts as falling."""


def check(trial: Trial) -> Outcome:
    """Adam on the batch again and again, at up to three learning rates.

    Passes when a recognised loss (see ``losses``) has come within ``LEFT`` of its floor, or
    when ``RIGHT`` of the class numbers are right; with an unknown loss, when it has fallen to
    ``UNKNOWN_LEFT`` of the first value, or below zero. Neither passed nor failed: a loss that is
    still falling when the steps are over, any loss if the time was up before each rate had its
    ``STEPS`` (a slow machine is no fault of the model), and an unknown one that stands between
    ``UNKNOWN_LEFT`` and ``UNKNOWN_STUCK``. Dropout is off, as memorising is the point; batch norm
    uses the batch. Rows whose inputs are identical are used once, and no more rows than the
    parameters can hold (see ``rows``). Source: the BYU article: overfit first, "about 100 % or an
    error about 0, else the architecture is broken".
    """
    trial.needs_loss()
    rows = choose(trial)
    best: _Run | None = None
    hurried = False
    for tried, rate in enumerate(LEARNING_RATES):
        share = max(0.0, trial.left()) / (len(LEARNING_RATES) + 1 - tried)
        run = _Run.start(trial, rows, rate)
        run.go(STEPS, time.monotonic() + share)
        hurried = hurried or (len(run.losses) < STEPS and math.isfinite(run.losses[-1]))
        if best is None or run.left() < best.left():
            best = run  # the others are let go of: each holds a model
        if run.fitted():
            break
    assert best is not None
    if not best.fitted() and best.falling():
        best.go(MOST - len(best.losses), trial.deadline)
    measured = f"{rows.words}, {best.words()}"
    if best.fitted():
        return Outcome(measured, rows.findings)
    if hurried:
        raise Unknown(f"undecided, the time was up: {measured}; give it more seconds")
    if best.falling():
        raise Unknown(f"undecided, the loss is still falling: {measured}")
    if best.known is None and best.left() < UNKNOWN_STUCK:
        raise Unknown(f"undecided, it is not known how low this loss can get: {measured}")
    return Outcome(measured, [_finding(measured, best, rows), *rows.findings])


@dataclass(slots=True)
class _Run:
    """One training at one learning rate; ``outputs`` and ``target`` of the last step."""

    rate: float
    replica: Replica
    rows: Rows
    optimizer: torch.optim.Optimizer
    known: Known | None = None
    losses: list[float] = field(default_factory=list)
    output: object = None
    target: object = None

    @classmethod
    def start(cls, trial: Trial, rows: Rows, rate: float) -> _Run:
        replica = trial.replica()
        silence(replica.model)
        return cls(rate, replica, rows, torch.optim.Adam(replica.trained(), lr=rate))

    def go(self, steps: int, deadline: float) -> None:
        """At most so many steps; ends early once fitted, out of time or no longer finite."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            found = self.replica.run(self.rows.batch)
            self.output, self.target = found.output, found.target
            self.losses.append(float(found.loss.detach()))
            if len(self.losses) == 1:
                self.known = recognise(self.replica.script.fresh(), found.output, found.target)
            if not math.isfinite(self.losses[-1]) or self.fitted() or time.monotonic() > deadline:
                return
            found.loss.backward()
            self.optimizer.step()

    def left(self) -> float:
        """Share of the loss above its floor that is left; infinite when not finite."""
        last, first = _recent(self.losses), self.losses[0]
        if math.isnan(last):
            return float("inf")
        if self.known is None:
            return last / first if first > 0 else 1.0 + last - first
        floor, constant = self.known.floor, self.known.constant
        one_fits_all = constant - floor <= 1e-9 * abs(floor) + 1e-20
        base = (first if one_fits_all else min(first, constant)) - floor
        return (last - floor) / max(base, 1e-20)

    def goal(self) -> float:
        """The share that counts as fitted."""
        if self.known is None:
            return UNKNOWN_LEFT
        return LEFT_ABSOLUTE if self.known.kind == "absolute error" else LEFT

    def fitted(self) -> bool:
        """Whether the batch is memorised."""
        if self.left() <= self.goal():
            return True
        right = self.right()
        return right is not None and right >= RIGHT and len(self.losses) > 1 and self.left() < 0.5

    def right(self) -> float | None:
        """Share of class numbers that the output gets right; None where there are no classes."""
        if self.known is None or not self.known.classes:
            return None
        output, target = self.output, self.target
        if not isinstance(output, Tensor) or not isinstance(target, Tensor):
            return None
        if target.is_floating_point():
            return None
        kept = target >= 0
        return float((output.argmax(self.known.class_axis) == target)[kept].float().mean())

    def falling(self) -> bool:
        """Whether the last third of the steps brought the loss down further."""
        third = len(self.losses) // 3
        if third < 3:
            return True
        floor = 0.0 if self.known is None else self.known.floor
        before, after = _recent(self.losses[:-third]), _recent(self.losses)
        if before <= floor:
            return after < before
        return after - floor < FALLING * (before - floor)

    def words(self) -> str:
        """Loss before and after, steps, learning rate, and what is right."""
        text = (
            f"loss {number(self.losses[0])} to {number(_recent(self.losses))} in "
            f"{len(self.losses)} steps of Adam at {number(self.rate)}"
        )
        if self.known is not None:
            text += f" (lowest possible {number(self.known.floor)}, "
            text += f"ignoring the input {number(self.known.constant)})"
        right = self.right()
        return text if right is None else f"{text}, {right:.0%} of classes right"


def _recent(losses: Sequence[float]) -> float:
    """The median of the last five: one noisy step is no evidence."""
    tail = sorted(losses[-5:])
    return tail[len(tail) // 2] if math.isfinite(losses[-1]) else losses[-1]


def silence(model: nn.Module) -> None:
    """Switch dropout off in all its forms that are modules or attributes of torch's modules."""
    for module in model.modules():
        if "drop" in type(module).__name__.lower():
            module.eval()
        if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
            module.dropout = 0.0


def _finding(measured: str, run: _Run, rows: Rows) -> Finding:
    why = causes(run.replica, rows.batch, run.target, run.known)
    return Finding(
        NAME,
        "critical",
        f"one batch cannot be overfitted: {measured}" + (f"; {why.seen}" if why.seen else ""),
        why.meaning
        or "The architecture is broken, or the loss or the labels are wrong: a network that "
        "learns can memorise one batch.",
        why.advice
        or "Look at gradients, batch_axis and signal_scale above; overfit a single row; check that "
        "the targets belong to the inputs, that the loss falls when predictions get better, and "
        "that no activation follows the output layer.",
        why.layers,
    )
