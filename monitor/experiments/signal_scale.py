"""Is the signal's scale steady over depth, forwards and backwards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monitor.experiments.axes import Layout
from monitor.experiments.geometry import Trend, trend
from monitor.experiments.report import Finding, Outcome, Unknown
from monitor.experiments.text import number
from monitor.experiments.trace import Seen, layers, traced, weights
from monitor.experiments.trial import Trial
from monitor.experiments.without_norms import rms

NAME = "signal_scale"

LAYERS = 5
"""Layers with weights needed to judge: fewer make no geometric series."""

FOLD = 1e3
"""From the first layer to the last. Healthy residual networks, transformers and ReLU stacks stay
within about 30; deep sigmoid stacks reach 1e4 and more (AUTOTRAINER, ICSE'21, takes 1000)."""

LOST = 1e5
"""... of the differences between rows, which fall faster: torch's default initialisation loses a
factor of 2.5 a layer in a ReLU network, and ten such layers still train."""

ORDER = 0.6
"""Kendall's tau: how monotone it must be. Bottlenecks, wide layers and a small last layer
stand the wrong way round here and there."""

_SQUASHING = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Softsign, nn.Hardtanh)


@dataclass(frozen=True, slots=True)
class Scales:
    """Per layer, in the order in which they run: RMS of the activations, RMS of their
    differences between rows (None where rows are not known), RMS of the weights' gradients.
    """

    names: list[str]
    activations: list[float]
    differences: list[float] | None
    gradients: list[float]
    squashing: list[str]


def check(trial: Trial) -> Outcome:
    """One forward and backward pass in training mode; a line through the logarithms of the RMS
    of each layer's activations (before the non-linearity), of their differences between the rows
    of the batch, and of each weight's gradient, over the layers in execution order.

    Fails where a line rises or falls by ``FOLD`` from first to last layer (differences: falls
    by ``LOST``) and is monotone (``ORDER``). Source: the BYU article on initialisation and on
    sigmoid layers; Glorot and Bengio 2010; Schoenholz et al. 2017 for the differences.
    """
    trial.needs_loss()
    scales = _measure(trial)
    if len(scales.names) < LAYERS:
        raise Unknown(f"{len(scales.names)} layers with weights; {LAYERS} are needed")
    forward, backward = trend(scales.activations), trend(scales.gradients)
    if forward is None or backward is None:
        raise Unknown("the activations or the gradients are zero or not finite")
    measured = (
        f"over {len(scales.names)} layers activations change {number(forward.fold)}-fold, "
        f"gradients {number(backward.fold)}-fold"
    )
    findings = []
    if _steep(forward, FOLD):
        findings.append(_activations(scales, forward))
    if _steep(backward, FOLD):
        findings.append(_gradients(scales, backward))
    apart = None if scales.differences is None else trend(scales.differences)
    if apart is not None:
        measured += f", differences between rows {number(apart.fold)}-fold"
        if apart.fold < 1 / LOST and apart.order <= -ORDER and not findings:
            findings.append(_differences(scales, apart))
    return Outcome(measured, findings)


def _steep(found: Trend, fold: float) -> bool:
    return not 1 / fold < found.fold < fold and abs(found.order) >= ORDER


def _measure(trial: Trial) -> Scales:
    replica = trial.replica()
    with traced(replica.model) as seen:
        loss = replica.loss(trial.batch)
    loss.backward()
    found: list[tuple[Seen, list[nn.Parameter]]] = []
    taken: set[int] = set()
    for layer in layers(seen):
        own = [p for p in weights(layer.module) if id(p) not in taken and p.grad is not None]
        taken.update(id(p) for p in own)
        if own:
            found.append((layer, own))
    differences = [_apart(layer.output, trial.layout) for layer, _ in found]
    return Scales(
        [layer.name for layer, _ in found],
        [float(rms(layer.output)) for layer, _ in found],
        None if None in differences else [d for d in differences if d is not None],
        [_gradient(own) for _, own in found],
        [f"{s.name}:{type(s.module).__name__}" for s in seen if isinstance(s.module, _SQUASHING)],
    )


def _gradient(own: list[nn.Parameter]) -> float:
    """RMS over all of a layer's weights."""
    gradients = [p.grad.detach().flatten() for p in own if p.grad is not None]
    return float(rms(torch.cat([g.to_dense() if g.is_sparse else g for g in gradients])))


def _apart(output: Tensor, layout: Layout | None) -> float | None:
    """RMS of the differences between rows and their mean."""
    if layout is None or output.ndim <= layout.axis or output.shape[layout.axis] != layout.size:
        return None
    wide = output.float() if output.device.type == "mps" else output.double()
    return float(rms(wide - wide.mean(layout.axis, keepdim=True)))


def _ends(scales: Scales, values: list[float]) -> str:
    return (
        f"RMS {number(values[0])} at {scales.names[0]}, {number(values[-1])} at {scales.names[-1]}"
    )


def _squash(scales: Scales) -> str:
    if not scales.squashing:
        return ""
    return (
        f"; it runs through {len(scales.squashing)} squashing activations such as "
        + (scales.squashing[0])
    )


def _activations(scales: Scales, found: Trend) -> Finding:
    word = "grow" if found.fold > 1 else "shrink"
    return Finding(
        NAME,
        "critical",
        f"activations {word} {number(found.per_layer)}-fold per layer, {number(found.fold)}-fold "
        f"over {found.layers} layers ({_ends(scales, scales.activations)}{_squash(scales)})",
        "The initialisation does not suit width and non-linearity: the signal explodes or dies "
        "out geometrically with depth.",
        "Use variance-scaling (fan-in) initialisation, such as torch.nn.init.kaiming_normal_ for "
        "ReLU; residual connections or normalisation if the network is deep.",
        tuple(scales.names),
    )


def _differences(scales: Scales, found: Trend) -> Finding:
    assert scales.differences is not None
    return Finding(
        NAME,
        "warning",
        f"what tells the rows of the batch apart shrinks {number(1 / found.per_layer)}-fold per "
        f"layer ({_ends(scales, scales.differences)}{_squash(scales)})",
        "Deep layers get nearly the same activations for every input, though biases keep their "
        "size up: there is nothing left to learn from.",
        "Use variance-scaling (fan-in) initialisation with the gain of the non-linearity and "
        "biases of 0; ReLU rather than sigmoid between layers; residual connections.",
        tuple(scales.names),
    )


def _gradients(scales: Scales, found: Trend) -> Finding:
    word = "vanish" if found.fold > 1 else "explode"
    each = max(found.per_layer, 1 / found.per_layer)
    lost = tuple(scales.names if found.fold < 1 else _weakest(scales))
    return Finding(
        NAME,
        "critical",
        f"gradients {word} towards the input, {number(each)}-fold per layer "
        f"({_ends(scales, scales.gradients)}{_squash(scales)})",
        "Sigmoid and tanh pass less than they get, and weights that are too small or too large "
        "multiply the gradient down or up at every layer: first and last layers cannot learn at "
        "the same learning rate.",
        "ReLU between layers; variance-scaling (fan-in) initialisation; residual connections or "
        "normalisation if the network is deep.",
        lost,
    )


def _weakest(scales: Scales) -> list[str]:
    """Layers whose gradient is 100 times smaller than the largest."""
    top = max(scales.gradients)
    return [n for n, g in zip(scales.names, scales.gradients, strict=True) if g < top / 100]
