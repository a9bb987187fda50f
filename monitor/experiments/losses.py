"""Which loss it is and how low it can get, found by trying rather than by its name.

A loss is recognised when it gives the same number as a known one on the real output and on a
made-up one; a lambda, a partial and a class are then all alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from monitor.experiments.script import Script, is_scalar

Kind = Literal["cross entropy", "binary cross entropy", "squared error", "absolute error"]
_SAME = 1e-3
_BCE = functional.binary_cross_entropy_with_logits


@dataclass(frozen=True, slots=True)
class Known:
    """A recognised loss.

    ``floor``: the lowest value on this target, which smoothed labels and soft targets keep above
    zero. ``constant``: what the best answer that ignores the input gets. ``classes``: of a cross
    entropy, along ``class_axis`` of the output; 0 otherwise. ``smoothing``: of its labels.
    """

    kind: Kind
    floor: float
    constant: float
    classes: int = 0
    class_axis: int = 1
    smoothing: float = 0.0


def recognise(script: Script, output: object, target: object) -> Known | None:
    """The loss, if it is one of :data:`Kind` with its mean taken; None if it is another one."""
    if script.style != "output, target":
        return None
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        return None
    if not output.is_floating_point() or output.numel() == 0 or target.numel() == 0:
        return None
    output, target = output.detach(), target.detach()
    probes = [output, _like(output)]
    try:
        with torch.no_grad():
            losses = [script.loss_fn(probe.clone(), target.clone()) for probe in probes]
            if not all(is_scalar(loss) and bool(torch.isfinite(loss).all()) for loss in losses):
                return None
            values = [float(loss) for loss in losses]
            wide = [probe.cpu().double() for probe in probes]  # some devices have no float64
            target = target.cpu()
            return _classes(values, wide, target) or _errors(values, wide, target)
    except (RuntimeError, IndexError, ValueError, TypeError):
        return None  # it does not take other outputs: it is none of those known here


def upside_down(script: Script, output: object, target: object) -> Known | None:
    """The loss whose negative this one is, if it is one of :data:`Kind`."""

    def negative(*args: Any) -> Any:
        return -script.loss_fn(*args)

    return recognise(replace(script, loss_fn=negative), output, target)


def _like(output: Tensor) -> Tensor:
    """Another output that the loss can take: some want probabilities or their logarithms, and
    on a GPU a value out of range would end the process rather than raise.
    """
    if _is_share(output):
        return torch.rand(output.shape).to(output)
    made_up = torch.randn(output.shape)
    if output.ndim > 1 and bool(((output.exp().sum(1) - 1).abs() < 1e-3).all()):
        made_up = made_up.log_softmax(1)
    return made_up.to(output)


def _same(values: list[float], others: list[float]) -> bool:
    return all(
        math.isclose(a, b, rel_tol=_SAME, abs_tol=1e-6) for a, b in zip(values, others, strict=True)
    )


def _classes(values: list[float], probes: list[Tensor], target: Tensor) -> Known | None:
    """Cross entropy of class numbers, its labels smoothed or not, or of class probabilities."""
    shape = probes[0].shape
    if len(shape) < 2 or shape[1] < 2:
        return None
    classes = shape[1]
    if target.is_floating_point():
        if target.shape != shape or bool(((target.sum(1) - 1).abs() > 1e-3).any()):
            return None
        wide = target.double()
        if not _same(values, [float(functional.cross_entropy(p, wide)) for p in probes]):
            return None
        mean = wide.transpose(1, -1).reshape(-1, classes).mean(0)
        rows = wide.transpose(1, -1).reshape(-1, classes)
        return Known("cross entropy", _entropy(rows), _entropy(mean[None]), classes)
    if target.dtype is not torch.int64 or target.shape != shape[:1] + shape[2:]:
        return None
    hard = [float(functional.cross_entropy(p, target)) for p in probes]
    even = [float(functional.cross_entropy(p, target, label_smoothing=1.0)) for p in probes]
    # The loss is linear in the smoothing, so either probe alone says how much there would be.
    slopes = [b - a for a, b in zip(hard, even, strict=True)]
    smoothing = 0.0
    if not _same(values, hard) and all(abs(slope) > 1e-6 for slope in slopes):
        found = [(v - h) / s for v, h, s in zip(values, hard, slopes, strict=True)]
        smoothing = sum(found) / 2
        if not 0 < smoothing < 1 or abs(found[0] - found[1]) > 1e-2 * smoothing:
            return None
    elif not _same(values, hard):
        return None
    kept = target[(target >= 0) & (target < classes)]
    if kept.numel() == 0:
        return None
    share = torch.bincount(kept.reshape(-1), minlength=classes).double() / kept.numel()
    spread = smoothing / classes
    label = torch.full((1, classes), spread, dtype=torch.float64)
    label[0, 0] += 1 - smoothing
    mixed = (1 - smoothing) * share + spread
    return Known(
        "cross entropy", _entropy(label), _entropy(mixed[None]), classes, smoothing=smoothing
    )


def _errors(values: list[float], probes: list[Tensor], target: Tensor) -> Known | None:
    """Binary cross entropy, or a mean of errors; shapes may broadcast, as torch lets them."""
    wide = target.double()
    if wide.shape == probes[0].shape and bool(((wide >= 0) & (wide <= 1)).all()):
        shares = all(_is_share(probe) for probe in probes)
        for function in (_BCE, functional.binary_cross_entropy)[: 1 + shares]:
            if _same(values, [float(function(p, wide)) for p in probes]):
                both = torch.stack((wide.flatten(), 1 - wide.flatten()), 1)
                return Known("binary cross entropy", _entropy(both), _entropy(both.mean(0)[None]))
    rows = wide.reshape(wide.shape[0], -1) if wide.ndim else wide.reshape(1, 1)
    for kind, size, centre in _ERRORS:
        if _same(values, [float(size(p - wide).mean()) for p in probes]):
            return Known(kind, 0.0, float(size(rows - centre(rows)).mean()))
    return None


def _mean(rows: Tensor) -> Tensor:
    return rows.mean(0)


def _median(rows: Tensor) -> Tensor:
    return rows.median(0).values


def _huber(error: Tensor) -> Tensor:
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")


_ERRORS: tuple[tuple[Kind, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]], ...] = (
    ("squared error", torch.square, _mean),
    ("absolute error", torch.abs, _median),
    ("absolute error", _huber, _median),
)


def _is_share(tensor: Tensor) -> bool:
    return bool(((tensor >= 0) & (tensor <= 1)).all())


def _entropy(rows: Tensor) -> float:
    """Mean over rows of -sum p ln p, in nats."""
    return abs(float(torch.xlogy(rows, rows).sum(1).mean()))
