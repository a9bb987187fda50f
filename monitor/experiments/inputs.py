"""Are the inputs finite and whitened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monitor.experiments.norms import is_norm
from monitor.experiments.report import Finding, Outcome, Unknown
from monitor.experiments.script import Pass
from monitor.experiments.text import number
from monitor.experiments.trace import layers, traced
from monitor.experiments.trees import tensors
from monitor.experiments.trial import Trial

NAME = "inputs"

SAMPLED = 1 << 20
"""Elements that quantiles are read from; means and extremes read every element."""

SPREAD = (0.01, 10.0)
"""Standard deviations that pass. Whitened is 1; images from 0 to 1 have 0.1 to 0.4."""

OFFSET = 10.0
"""Times its standard deviation that a mean may lie from 0. Images from 0 to 1 that are nearly
white reach 5."""

TAIL = 30.0
"""Standard deviations away that the largest value may lie: of a million normal ones it is 5."""

UNEVEN = 1e3
"""Fold between the standard deviations of two channels that are not constant."""

CHANNELS = 1024
"""Axes longer than this are not taken for channels."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """``bulk``: 90th percentile of the sizes that are not zero: what tanh(x / C) wants for C."""

    mean: float
    std: float
    lowest: float
    highest: float
    bulk: float

    def __str__(self) -> str:
        return (
            f"mean {number(self.mean)}, std {number(self.std)}, "
            f"from {number(self.lowest)} to {number(self.highest)}"
        )


def check(trial: Trial) -> Outcome:
    """Mean, standard deviation and extremes of every floating-point tensor that the model is
    called with, as a whole and per channel (axis 1; the last of [N, H, W, few]).

    Quiet: integers (tokens, indices), booleans, tensors of zeros and ones (masks, one-hot),
    images from 0 to 1, channels that are constant, and inputs that the model whitens itself:
    the first thing that runs is a norm, or what reaches the first layer with weights passes.
    NaN or infinity anywhere in the batch fails, target included. Source: the BYU article:
    whiten; tanh(x / C) for a range such as 0 to 1.4e8.
    """
    findings = _nonfinite(trial)
    named = _called_with(trial.first)
    if not named:
        if findings:
            return Outcome("NaN or infinity in the batch", findings)
        raise Unknown("the model itself is not called, only parts of it")
    said, odd = [], []
    for name, tensor in named:
        words, found = judge(name, tensor)
        said.append(f"{name}: {words}")
        odd += found
    if odd and not findings and _whitens(trial):
        said.append("the model whitens them itself")
        odd = []
    return Outcome("; ".join(said[:4]) + ("; ..." if len(said) > 4 else ""), [*findings, *odd])


def _called_with(first: Pass | None) -> list[tuple[str, Tensor]]:
    if first is None:
        return []
    named = [(f"input{path}", t) for path, t in tensors(first.args)]
    return named + [(f"input{path}", t) for path, t in tensors(first.kwargs)]


def _nonfinite(trial: Trial) -> list[Finding]:
    found = []
    for path, tensor in tensors(trial.batch):
        if not tensor.is_floating_point() and not tensor.is_complex():
            continue
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            found.append(
                _finding(
                    f"batch{path} holds {bad} values of {tensor.numel()} that are NaN or infinite",
                    "Missing or corrupt data; one such value makes the whole network NaN.",
                    "Find the rows, and drop or fill them where the data is loaded.",
                    "critical",
                )
            )
    return found


def judge(name: str, tensor: Tensor) -> tuple[str, list[Finding]]:
    """What one input tensor is, in words, and what is wrong with it."""
    if tensor.numel() == 0:
        return "empty", []
    if tensor.dtype is torch.bool or tensor.is_complex():
        return str(tensor.dtype).removeprefix("torch."), []
    values = tensor.detach()
    if values.layout is not torch.strided or values.is_nested:
        return f"{values.layout}, not looked at", []
    values = values.float() if values.device.type == "mps" else values.double()
    if not tensor.is_floating_point():
        return f"integers from {int(values.min())} to {int(values.max())}", []
    if bool(((values == 0) | (values == 1)).all()):
        return "zeros and ones", []
    if not bool(torch.isfinite(values).all()):
        return "not finite", []
    numbers = measure(values)
    return str(numbers), _scale(name, values, numbers)


def measure(values: Tensor) -> Numbers:
    """The numbers of a finite tensor."""
    flat = values.flatten()
    # On the CPU: some devices cannot do kthvalue where algorithms have to be deterministic.
    few = flat[:: -(-flat.numel() // SAMPLED) | 1].abs().cpu()
    few = few[few > 0]
    bulk = float(few.kthvalue(max(1, math.ceil(0.9 * few.numel()))).values) if few.numel() else 0.0
    return Numbers(
        float(flat.mean()),
        float(flat.std(correction=0)),
        float(flat.min()),
        float(flat.max()),
        bulk,
    )


def _scale(name: str, values: Tensor, n: Numbers) -> list[Finding]:
    """The first of: bytes, a heavy tail, a wrong scale, an offset, uneven channels."""
    if n.std == 0:
        return [_constant(name, n)] if values.numel() > 1 else []
    if (
        n.lowest >= 0
        and 2 < n.highest <= 255
        and n.std > 20
        and bool((values == values.round()).all())
    ):
        return [_bytes(name, n)]
    size = max(abs(n.lowest), abs(n.highest))
    if size > TAIL * n.std + abs(n.mean) and size > SPREAD[1]:
        return [_tail(name, n, size)]
    if not SPREAD[0] <= n.std <= SPREAD[1] or abs(n.mean) > max(OFFSET * n.std, SPREAD[0]):
        return [_unwhitened(name, n, size)]
    return _channels(name, values)


def _channels(name: str, values: Tensor) -> list[Finding]:
    if values.ndim < 2:
        return []
    axis = values.ndim - 1 if values.ndim == 4 and values.shape[-1] <= 4 < values.shape[1] else 1
    if not 1 < values.shape[axis] <= CHANNELS:
        return []
    rows = values.movedim(axis, 0).reshape(values.shape[axis], -1)
    spreads = rows.std(1, correction=0)
    alive = torch.nonzero(spreads > 0).flatten()
    if len(alive) < 2:
        return []
    low, high = alive[spreads[alive].argmin()], alive[spreads[alive].argmax()]
    fold = float(spreads[high] / spreads[low])
    if fold < UNEVEN:
        return []
    return [
        _finding(
            f"{name}: the standard deviations of its channels differ {number(fold)}-fold "
            f"({number(float(spreads[high]))} at channel {int(high)}, "
            f"{number(float(spreads[low]))} at channel {int(low)})",
            "Features in different units: the network hears only the loudest.",
            "Subtract each channel's own mean and divide by its own standard deviation, taken "
            "from the training set.",
        )
    ]


def _whitens(trial: Trial) -> bool:
    """Whether what reaches the first layer with weights is fine, or a norm comes before it."""
    replica = trial.replica()
    with traced(replica.model) as seen:
        replica.run(trial.batch)
    if seen and is_norm(seen[0].module):
        return True
    first = next(iter(layers(seen)), None)
    return first is not None and first.given is not None and not judge("", first.given)[1]


def _finding(seen: str, meaning: str, advice: str, severity: Any = "warning") -> Finding:
    return Finding(NAME, severity, seen, meaning, advice)


def _constant(name: str, n: Numbers) -> Finding:
    return _finding(
        f"{name}: every value is {number(n.mean)}",
        "The data did not arrive: an empty picture, a column that failed to load.",
        "Look at a few rows where they are loaded.",
    )


def _bytes(name: str, n: Numbers) -> Finding:
    return _finding(
        f"{name}: whole numbers from {number(n.lowest)} to {number(n.highest)} ({n}), a picture "
        "as bytes",
        "Inputs a hundred times larger than initialisations assume: the first steps explode or "
        "saturate.",
        f"Whiten: divide by 255, then subtract the training set's mean ({number(n.mean / 255)} "
        f"here) and divide by its standard deviation ({number(n.std / 255)} here).",
    )


def _tail(name: str, n: Numbers, size: float) -> Finding:
    return _finding(
        f"{name}: the largest value lies {number(size / n.std)} standard deviations out ({n})",
        "A heavy tail: whitening alone leaves nearly all values near 0 and a few that throw the "
        "training about.",
        f"Squash rather than clip: tanh(x / C) with C = {number(n.bulk)}, the size that nine "
        "tenths of the values stay below; or a logarithm; then whiten.",
    )


def _unwhitened(name: str, n: Numbers, size: float) -> Finding:
    advice = (
        f"Whiten: subtract the training set's mean ({number(n.mean)} here) and divide by its "
        f"standard deviation ({number(n.std)} here); do the same to test inputs."
    )
    if size > 1e3:
        advice += (
            f" For a large range, tanh(x / C) keeps the dynamics; C = {number(n.bulk)} here, the "
            "size that nine tenths of the values stay below."
        )
    return _finding(
        f"{name} is not whitened: {n}",
        "Initialisations and learning rates assume inputs with mean 0 and standard deviation 1: "
        "others explode, saturate or hardly move the network.",
        advice,
    )
