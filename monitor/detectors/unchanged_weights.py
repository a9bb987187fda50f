"""Parameters that are to be trained and never move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.robust import check, number
from monitor.points import LAYER_PREFIX, Evidence, Floats, Health, Verdicts, Window

WEIGHTS = LAYER_PREFIX + "weight_norm"


@dataclass(frozen=True)
class UnchangedWeights:
    """Parameters that want a gradient and have not moved since the training began.

    Sees the norm of each parameter's update, the difference that an optimizer's step has made
    to it. Bad where, from the attempt's first sampled step on and for ``samples`` of them at
    least, a parameter's update was exactly zero each time, while half of all parameters moved
    in half of these steps. It is looked for in the first ``within`` sampled steps; afterwards
    the alert ends when everything moves.

    A parameter is not moved by an optimizer that was not given it, whose learning rate for it
    is zero, or by a graph that is cut before it (``detach``, a branch that is never run). A
    rate so small that the sum rounds back to the old weight looks the same, and does the same.

    Pointed at ``weight_norm``, it sees whether anything moves at all: bad where for as long no
    norm has changed by a single bit, although gradients come (role ``grad_norm``) and the
    learning rate is not 0 (role ``learning_rate``). Then the optimizer has the parameters of
    another model: of what was copied, converted or loaded anew since. Norms and not updates,
    since weights may be written back after the optimizer's step (from single precision, say).

    Defaults: ``samples`` 20: the hook looks at each of the first twenty steps; ``within`` 60, if a
    warm-up has to be waited for; ``share`` 0.05: fewer of all trainable numbers are taken for a
    part that is not used on purpose, a pooler, a spare head.

    Stays quiet: parameters that do not want a gradient (``requires_grad`` False), which are not
    in the stream; steps that a loss scaler skips, in which nothing moves; a learning rate that
    is 0 or still warming up; several optimizers, whose updates are not known; what moved
    once and died later (``dead_units``), and converged runs. Cannot tell: a part that is to be
    thawed later by its learning rate.

    Source: SageMaker Debugger's unchanged_tensor, for the idea; that only exact zeros from the
    start on count is our reasoning.
    """

    samples: int = field(
        default=20, metadata={"unit": "points", "doc": "sampled steps without any movement"}
    )
    within: int = field(
        default=60, metadata={"unit": "points", "doc": "sampled steps in which it is looked for"}
    )
    share: float = field(
        default=0.05,
        metadata={"unit": "ratio", "doc": "part of all trainable numbers that is still"},
    )

    name: ClassVar[str] = "unchanged_weights"
    layered: ClassVar[bool] = True
    context: ClassVar[tuple[str, ...]] = ("learning_rate", "grad_norm")
    default_match: ClassVar[Mapping[str, str]] = {"stat": "update_norm"}

    def __post_init__(self) -> None:
        check("samples", self.samples >= 2, "at least 2 sampled steps")
        check("within", self.within >= self.samples, "at least as many as samples")
        check("share", 0 <= self.share < 1, "at least 0, less than 1")

    @property
    def lookback(self) -> int:
        """All of the attempt, for as long as it is looked for."""
        return self.within

    def __call__(self, window: Window) -> Verdicts:
        """BAD while a parameter has stood still from the first sampled step on."""
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        n, new = len(window.steps), window.new
        if window.layers is None or not new or not window.values.shape[1]:
            return Verdicts(health)
        # A loop, but over no more than the first ``within`` points of an attempt.
        early = min(n, max(n - new, self.within - window.index))
        for i in range(n - new, early):
            if window.index + i + 1 >= self.samples:
                health[i - n + new] = self._judge(window.upto(i, self.within))
        health[early - n + new :] = self._later(window, n - early)
        return Verdicts(health)

    def _judge(self, window: Window) -> Health:
        """Of the last point of a window that holds the whole attempt."""
        if _warming_up(window):
            return Health.UNKNOWN
        if window.key.tag == WEIGHTS:
            return Health.BAD if _pushed(window) and _at_rest(window.values).all() else Health.OK
        return Health.BAD if self.still(window).any() else Health.OK

    def _later(self, window: Window, count: int) -> NDArray[np.int8]:
        """Of the last ``count`` points, when the beginning is out of sight: OK if all moves."""
        if not count:
            return np.empty(0, np.int8)
        values = window.values[-(count + self.samples - 1) :]
        if window.key.tag == WEIGHTS:  # there, if anything does
            zero = _at_rest(values).all(axis=1, keepdims=True)
        else:
            zero = values == 0
        views = np.lib.stride_tricks.sliding_window_view(zero, self.samples, axis=0)
        rests: NDArray[np.bool_] = views.min(axis=2).max(axis=1)[-count:]
        return np.where(rests, Health.UNKNOWN, Health.OK).astype(np.int8)

    def still(self, window: Window) -> NDArray[np.bool_]:
        """Which of the N parameters have not moved, if they are a share that counts."""
        zero = window.values == 0
        still: NDArray[np.bool_] = zero.all(axis=0)
        moved = (window.values > 0).mean(axis=1) >= 0.5 * (1 - still.mean())
        layers = window.layers
        assert layers is not None
        sizes = np.array([float(np.prod(shape)) for shape in layers.shapes])
        if moved.mean() < 0.5 or not still.any() or still.all():
            return np.zeros_like(still)
        if len(sizes) == len(still) and sizes[still].sum() < self.share * sizes.sum():
            return np.zeros_like(still)
        return still

    def explain(self, window: Window) -> Evidence:
        """Which parameters, and how long they have been looked at."""
        layers = window.layers
        assert layers is not None
        looks = f"{len(window.steps)} sampled steps ({int(window.steps[0])} to "
        looks += f"{int(window.steps[-1])})"
        if window.key.tag == WEIGHTS:
            count = len(layers.names)
            seen = (
                f"none of the {count} trainable parameters has moved at all in {looks}, although "
                f"the norm of their gradient is {number(_last(window, 'grad_norm'))} and the "
                f"learning rate {number(_last(window, 'learning_rate'))}"
            )
            return Evidence(float(count), seen, int(window.steps[0]))
        still = np.flatnonzero(self.still(window))
        shown = ", ".join(layers.names[i] for i in still[:4])
        more = f" and {len(still) - 4} more" if len(still) > 4 else ""
        seen = (
            f"{len(still)} of {len(layers.names)} trainable parameters have not moved at all in "
            f"{looks}: {shown}{more}"
        )
        names = tuple(layers.names[i] for i in still)
        return Evidence(float(len(still)), seen, int(window.steps[0]), names)


def _at_rest(norms: Floats) -> NDArray[np.bool_]:
    """[T, N]: where a norm is to the bit what it was at the look before."""
    result: NDArray[np.bool_] = norms == np.concatenate((norms[:1], norms[:-1]))
    return result


def _pushed(window: Window) -> bool:
    """Whether gradients come, and the learning rate lets them move something."""
    rates, grads = (window.context[role] for role in ("learning_rate", "grad_norm"))
    return bool(
        (rates > 0).mean() >= 0.5
        and not (rates == 0).any()
        and ((grads > 0) & np.isfinite(grads)).mean() >= 0.5
    )


def _last(window: Window, role: str) -> float:
    known = window.context[role][np.isfinite(window.context[role])]
    return float(known[-1]) if len(known) else float("nan")


def _warming_up(window: Window) -> bool:
    """Whether the learning rate, where it is known, grows and is still far from its level."""
    rates = window.context.get("learning_rate")
    if rates is None:
        return False
    known = rates[np.isfinite(rates)]
    return len(known) > 1 and bool(known[-1] > 1.05 * known[len(known) // 2])
