"""Why a batch could not be overfitted: what output, layers and gradients look like at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monitor.experiments.losses import Known
from monitor.experiments.text import number
from monitor.experiments.trace import Seen, traced
from monitor.experiments.trees import floats
from monitor.experiments.trial import Replica

OUTSIDE = 0.05
"""Share of targets out of the output's range that is worth telling."""

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Threshold)
_BOUNDED = (*_RECTIFIERS, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softmax, nn.Hardsigmoid)
_SQUASHING = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Softsign)


@dataclass(frozen=True, slots=True)
class Cause:
    """What was seen; meaning and advice are empty where only the general ones are known."""

    seen: str = ""
    meaning: str = ""
    advice: str = ""
    layers: tuple[str, ...] = ()


def causes(replica: Replica, batch: Any, target: object, known: Known | None) -> Cause:
    """The likeliest, from one more forward pass of the network that was trained in vain."""
    with traced(replica.model) as seen, torch.no_grad():
        found = replica.run(batch)
    outputs = floats(found.output)
    if not outputs or not seen:
        return Cause()
    return (
        _nonfinite(outputs[0], seen)
        or _bounded(outputs[0], target, known, seen[-1])
        or _dead(seen)
        or _constant(outputs[0], seen)
        or Cause()
    )


def _nonfinite(output: Tensor, seen: Sequence[Seen]) -> Cause | None:
    if bool(torch.isfinite(output).all()):
        return None
    first = next((s.name for s in seen if not bool(torch.isfinite(s.output).all())), "")
    return Cause(
        f"the output is not finite, first at {first or 'the output'}",
        "The network explodes: a bad initialisation, or inputs far out of range.",
        "Use variance-scaling initialisation; whiten the inputs; look at signal_scale.",
        (first,) if first else (),
    )


def _bounded(output: Tensor, target: object, known: Known | None, last: Seen) -> Cause | None:
    """An activation on the output layer that the targets lie outside of."""
    if not isinstance(target, Tensor) or not target.is_floating_point():
        return None
    if known is not None and (known.classes or known.kind == "binary cross entropy"):
        return None
    if not isinstance(last.module, _BOUNDED):
        return None
    low, high = _range(last.module, output)
    outside = float(((target < low) | (target > high)).float().mean())
    if outside < OUTSIDE:
        return None
    return Cause(
        f"{outside:.0%} of the targets lie outside the range of the last activation, {last.name} "
        f"({type(last.module).__name__}: {number(low)} to {number(high)})",
        "There is an activation on the output layer, which cannot put out such targets.",
        "Leave the activation off the output layer.",
        (last.name,),
    )


def _range(module: nn.Module, output: Tensor) -> tuple[float, float]:
    """What the activation can put out at all."""
    if isinstance(module, nn.Tanh):
        return -1.0, 1.0
    if isinstance(module, (nn.Sigmoid, nn.Softmax, nn.Hardsigmoid)):
        return 0.0, 1.0
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return float(module.min_val), float(module.max_val)
    if isinstance(module, nn.Threshold):
        return min(float(module.value), float(output.min())), float("inf")
    return 0.0, float("inf")


def _dead(seen: Sequence[Seen]) -> Cause | None:
    dead = tuple(
        s.name for s in seen if isinstance(s.module, _RECTIFIERS) and not bool(s.output.any())
    )
    if not dead:
        return None
    return Cause(
        "every unit of a layer is dead: 0 for every row",
        "ReLU units that are pushed below zero for every input have no gradient and stay there: "
        "a learning rate or inputs too large, or a bias far below zero.",
        "Whiten the inputs; variance-scaling initialisation, biases of 0; LeakyReLU or GELU.",
        dead,
    )


def _constant(output: Tensor, seen: Sequence[Seen]) -> Cause | None:
    """The same answer for every row."""
    if output.ndim < 1 or output.shape[0] < 2:
        return None
    apart = float(output.float().std(0, correction=0).max())
    size = float(output.float().abs().max())
    if apart > 0.01 * size:
        return None
    squashing = tuple(s.name for s in seen if isinstance(s.module, _SQUASHING))
    return Cause(
        f"the output is the same for every row (differences of {number(apart)} in {number(size)})",
        "The signal is lost on the way through the network, and only the last bias learns."
        + (f" It runs through {len(squashing)} sigmoid or tanh layers." if squashing else ""),
        "ReLU between layers; variance-scaling initialisation; residual connections; look at "
        "signal_scale, gradients and the inputs.",
        squashing,
    )
