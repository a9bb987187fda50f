"""Does the script's first step make sense: a scalar loss, finite, attached, and not over-sure."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from monitor.experiments.losses import Known, recognise, upside_down
from monitor.experiments.report import Finding, Outcome
from monitor.experiments.script import Pass, Script, is_scalar
from monitor.experiments.text import number
from monitor.experiments.trace import traced
from monitor.experiments.trees import floats
from monitor.experiments.trial import Trial

NAME = "first_pass"

OVERSURE = 2.0
"""Times ln(classes) from which the first loss of a cross entropy is too high. Guessing evenly
gives ln(classes); logits with a standard deviation of s add about s * s / 2 nats to it, so that
fresh networks lie within some tenths. Twice it takes logits that are sure and wrong."""


def check(trial: Trial) -> Outcome:
    """One forward pass in training mode, as the script would do it.

    Fails where the loss is no scalar, not finite or detached from the parameters; where output
    and target have shapes that broadcast; where a cross entropy is given probabilities, or a
    negative log likelihood logits; where the sign is wrong; and where the first value is more
    than ``OVERSURE`` times ln(classes). A loss well below that is quiet: a fine-tuned model
    starts low. Sources: Karpathy's "A Recipe for Training Neural Networks" for the first loss;
    the BYU article's "check the loss" and "no activation on the output layer".
    """
    replica = trial.replica()
    with traced(replica.model) as seen:
        found = replica.run(trial.batch)
    blocking = _unusable(found.loss)
    if blocking is not None:
        trial.blocked = f"there is no usable loss: {blocking.seen}"
        trial.first = found
        return Outcome(blocking.seen, [blocking])
    trial.first = found
    known = recognise(replica.script, found.output, found.target)
    value = float(found.loss.detach())
    measured = f"the first loss is {number(value)}"
    last = seen[-1].module if seen else None
    suspects = (
        _broadcast(found, known),
        _twice(found, known),
        _sigmoid_twice(found, known, replica.script, last),
        _no_softmax(found, known, replica.script),
        _upside_down(found, known, replica.script),
    )
    findings = [finding for finding in suspects if finding is not None]
    if known is not None:
        measured += f" ({known.kind}, lowest possible {number(known.floor)})"
        findings += _oversure(value, known)
    if not math.isfinite(value):
        findings.append(_nonfinite(value, found))
        trial.blocked = f"the first loss is {value}"
    return Outcome(measured, findings)


def _finding(seen: str, meaning: str, advice: str) -> Finding:
    return Finding(NAME, "critical", seen, meaning, advice)


def _unusable(loss: Any) -> Finding | None:
    """What keeps a loss from being trained with."""
    if not isinstance(loss, Tensor):
        return _finding(
            f"loss_fn returned {type(loss).__name__}, not a tensor",
            "The loss was turned into a number (.item(), float(), numpy) before backward().",
            "Return the tensor itself; take .item() only of what is logged.",
        )
    if not is_scalar(loss):
        return _finding(
            f"loss_fn returned a tensor of shape {tuple(loss.shape)}, not a scalar",
            "The loss is not reduced over the batch (reduction='none').",
            "Take its mean.",
        )
    if not loss.requires_grad:
        return _finding(
            "the loss has no graph: no parameter that requires a gradient takes part in it",
            "The loss or the output was detached (.detach(), .item(), .data, torch.no_grad(), "
            "a new tensor made from values, argmax), or every parameter is frozen, or loss_fn "
            "uses another model than the one it is given.",
            "Follow output.grad_fn from the loss back to the first tensor that has none.",
        )
    return None


def _nonfinite(value: float, found: Pass) -> Finding:
    where = "the output is finite"
    if not all(bool(torch.isfinite(t).all()) for t in floats(found.output)):
        where = "the output is not finite either"
    return _finding(
        f"the first loss is {value}; {where}",
        "Not finite before any training: a bad initialisation or inputs far out of range where "
        "the output is not finite, else log(0), a division by 0 or an overflow in the loss.",
        "Look at signal_scale and inputs below; use variance-scaling initialisation; whiten the "
        "inputs; take losses that work on logits.",
    )


def _broadcast(found: Pass, known: Known | None) -> Finding | None:
    output, target = found.output, found.target
    if known is None or known.classes or not isinstance(output, Tensor):
        return None
    if not isinstance(target, Tensor) or output.shape == target.shape:
        return None
    wide = tuple(torch.broadcast_shapes(output.shape, target.shape))
    return _finding(
        f"output {tuple(output.shape)} and target {tuple(target.shape)} differ in shape and "
        f"broadcast to {wide}",
        "Every output is compared with the target of every row, so the network can learn no "
        "more than the mean of the targets.",
        "Give both the same shape: output.squeeze(-1) or target.unsqueeze(-1).",
    )


def _twice(found: Pass, known: Known | None) -> Finding | None:
    """A cross entropy that is given probabilities where it wants logits."""
    if known is None or known.kind != "cross entropy" or not isinstance(found.output, Tensor):
        return None
    output = found.output.detach().float()
    sums = output.sum(known.class_axis)
    if bool((output < 0).any()) or bool(((sums - 1).abs() > 1e-3).any()):
        return None
    lowest = math.log1p((known.classes - 1) * math.exp(-1))
    return _finding(
        "the outputs are probabilities (none below 0, sums of 1) under a cross entropy that "
        "applies its own softmax",
        f"Two softmaxes: the loss cannot fall below about {number(lowest)}, and "
        "gradients are small.",
        "Take the softmax off the output layer; apply it only where predictions are shown.",
    )


def _sigmoid_twice(
    found: Pass, known: Known | None, script: Script, last: nn.Module | None
) -> Finding | None:
    """A binary cross entropy on logits that is given shares: it is not the one on shares."""
    if known is None or known.kind != "binary cross entropy" or not isinstance(last, nn.Sigmoid):
        return None
    output, target = found.output, found.target
    assert isinstance(output, Tensor)
    shares, wanted = output.detach().cpu().double(), target.cpu().double()
    if bool(((shares < 0) | (shares > 1)).any()):
        return None
    plain = functional.binary_cross_entropy
    for scale in (1.0, 0.5):  # once it may be the same by chance
        with torch.no_grad():
            value = float(script.loss_fn(output.detach() * scale, target))
        if not math.isclose(value, float(plain(shares * scale, wanted)), rel_tol=1e-3):
            break
    else:
        return None
    return _finding(
        "the outputs come from a sigmoid, under a binary cross entropy that applies its own",
        "Two sigmoids: no output can say less than one half or more than 0.73.",
        "Take the sigmoid off the output layer; apply it only where predictions are shown.",
    )


def _no_softmax(found: Pass, known: Known | None, script: Script) -> Finding | None:
    """A negative log likelihood that is given logits: it falls by 1 when 1 is added to them."""
    output, target = found.output, found.target
    if known is not None or script.style != "output, target":
        return None
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        return None
    if target.dtype is not torch.int64 or output.ndim < 2:
        return None
    if target.shape != output.shape[:1] + output.shape[2:]:
        return None
    output = output.detach()
    with torch.no_grad():
        values = [float(script.loss_fn(output + shift, target)) for shift in (0.0, 1.0)]
    likelihood = float(functional.nll_loss(output, target))
    if not all(
        math.isclose(value, likelihood - shift, rel_tol=1e-3, abs_tol=1e-4)
        for value, shift in zip(values, (0.0, 1.0), strict=True)
    ):
        return None
    return _finding(
        "the loss is the negative log likelihood of outputs that are no logarithms of "
        f"probabilities (the first is {number(float(output.exp().sum(1).flatten()[0]))} in sum)",
        "The softmax is missing: the loss falls without end by making every output larger.",
        "Give logits to CrossEntropyLoss, or end the network with log_softmax.",
    )


def _upside_down(found: Pass, known: Known | None, script: Script) -> Finding | None:
    """The negative of a loss: training makes predictions worse."""
    meant = upside_down(script, found.output, found.target) if known is None else None
    if meant is None:
        return None
    return _finding(
        f"the loss is the negative of a {meant.kind}",
        "Its sign is wrong: it falls as the predictions get worse, without end.",
        "Drop the minus sign. If it is meant (an adversary, unlearning), leave this check out: "
        "skip=('first_pass',).",
    )


def _oversure(value: float, known: Known) -> list[Finding]:
    if not known.classes or not math.isfinite(value):
        return []
    chance = math.log(known.classes)
    if value <= OVERSURE * chance:
        return []
    return [
        Finding(
            NAME,
            "warning",
            f"the first loss is {number(value)}, {number(value / chance)} times the "
            f"{number(chance)} = ln({known.classes}) of an even guess",
            "The fresh network is sure of wrong answers: its logits are too large, from a bad "
            "initialisation or inputs far out of range; the first steps only unlearn that. Of a "
            "trained network: its labels are numbered otherwise than these.",
            "Use variance-scaling initialisation, with a small one (0.01) for the last layer; "
            "whiten the inputs; check the labels.",
        )
    ]
