"""The preflight itself: copies first, then one check after the other, nothing left behind."""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from monitor.experiments import batch_axis, first_pass, gradients, inputs, overfit, signal_scale
from monitor.experiments import without_norms as norms
from monitor.experiments.axes import layouts
from monitor.experiments.guard import kept, modes_kept, plain, random_numbers_kept, seed
from monitor.experiments.report import Check, Finding, Outcome, Report, Status, Unknown
from monitor.experiments.script import Script, Style, style_of
from monitor.experiments.trees import cloned, tensors
from monitor.experiments.trial import SEED, Trial

CHECKS = (
    first_pass.NAME,
    inputs.NAME,
    gradients.NAME,
    signal_scale.NAME,
    batch_axis.NAME,
    norms.NAME,
    overfit.NAME,
)
"""Names, in the order in which they run."""

_OURS, _TORCH = str(Path(__file__).parent), str(Path(torch.__file__).parent)


def preflight(
    model: nn.Module,
    loss_fn: Callable[..., Any],
    batch: Any,
    *,
    forward: Callable[[nn.Module, Any], Any] | None = None,
    loss_takes: Style | None = None,
    batch_axis: int | None = None,
    autocast: torch.dtype | None = None,
    seconds: float = 60.0,
    skip: Collection[str] = (),
) -> Report:
    """Try a model, its loss and one batch before training, on copies, and say what is wrong.

    ::

        report = monitor.preflight(model, nn.CrossEntropyLoss(), next(iter(loader)))
        print(report)
        report.raise_for_failures()

    Nothing of the caller's changes: weights, buffers, gradients, modes, random numbers and
    grad mode are the same to the bit afterwards, also when the script's own code raises.

    ``batch``: ``(inputs..., target)``, called as ``model(*inputs)``; a mapping whose target is
    under "target", "targets", "label", "labels" or "y", called as ``model(**rest)``; or a
    tensor that is input and target. Batch, model and loss stay on their device.
    ``loss_fn``: ``loss_fn(output, target)``; or ``loss_fn(model, batch)``, if its first parameter
    is called model, net, network or module or is annotated as a Module; or ``loss_fn(output)``,
    if it takes one argument, and then the whole batch goes to the model. ``loss_takes`` says
    so outright: "output, target", "model, batch" or "output".
    ``forward(model, batch)`` gives the output where calling the model is not enough.
    ``batch_axis``: the axis of the inputs along which rows lie; found by itself if None.
    ``autocast``: run under it with this dtype; None leaves it as the caller has it. There is no
    loss scaling: prefer bfloat16 to float16.
    ``seconds``: after so long no check is begun and memorising ends; what was not decided is
    unknown.
    ``skip``: names of checks to leave out.

    Errors of the model's or the loss's code are findings of the check that met them. Raises
    TypeError for a model that is no Module or a loss that cannot be called; ValueError for one
    that cannot be copied or whose parameters have no values yet, for unknown names in ``skip``
    and for ``seconds`` of 0 or less. Hooks on the model run on the copy, too. Source of the
    checks: "Practical Advice for Building Deep Neural Networks", BYU Perception, Control and
    Cognition lab.
    """
    _refuse(model, loss_fn, seconds, skip)
    start = time.monotonic()
    original = plain(model)
    with random_numbers_kept(), modes_kept():
        pristine = _copied(original)
        script = Script(loss_fn, loss_takes or style_of(loss_fn), forward, autocast)
        trial = Trial(pristine, _copied_loss(script), cloned(batch), start + seconds)
        with kept(original, pristine):
            checks = _all(trial, batch_axis, skip)
    return Report(_subject(original, batch), checks, time.monotonic() - start)


def _refuse(model: object, loss_fn: object, seconds: float, skip: Collection[str]) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    if any(p.is_meta or is_lazy(p) for p in [*model.parameters(), *model.buffers()]):
        raise ValueError(
            "some of the model's parameters have no values yet (lazy, or on the device 'meta'): "
            "run one batch through it first"
        )
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be callable, not {type(loss_fn).__name__}")
    if not seconds > 0:
        raise ValueError(f"seconds must be more than 0, not {seconds}")
    unknown = set(skip) - set(CHECKS)
    if isinstance(skip, str) or unknown:
        raise ValueError(f"skip: {skip!r} is not a collection of names from {', '.join(CHECKS)}")


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ValueError(
            f"the model cannot be copied, which a preflight needs: {type(error).__name__}: {error}"
        ) from error


def _copied_loss(script: Script) -> Script:
    try:
        return script.fresh()
    except Exception as error:
        raise ValueError(
            f"the loss cannot be copied, which a preflight needs: {type(error).__name__}: {error}"
        ) from error


def _all(trial: Trial, axis: int | None, skip: Collection[str]) -> tuple[Check, ...]:
    """Every check in turn; the first pass also when it is skipped, as the others build on it."""
    checks = []
    for name, run in _sequence(trial, axis):
        if name in skip and name != first_pass.NAME:
            continue
        check = _one(name, run, trial)
        if name == first_pass.NAME:
            _find_layout(trial, axis)
        if name not in skip:
            checks.append(check)
    return tuple(checks)


def _sequence(trial: Trial, axis: int | None) -> list[tuple[str, Callable[[], Outcome]]]:
    """Those that cost a step or a few before the one that takes what time there is."""
    return [
        (first_pass.NAME, lambda: first_pass.check(trial)),
        (inputs.NAME, lambda: inputs.check(trial)),
        (gradients.NAME, lambda: gradients.check(trial)),
        (signal_scale.NAME, lambda: signal_scale.check(trial)),
        (batch_axis.NAME, lambda: batch_axis.check(trial, axis)),
        (norms.NAME, lambda: norms.check(trial)),
        (overfit.NAME, lambda: overfit.check(trial)),
    ]


def _one(name: str, run: Callable[[], Outcome], trial: Trial) -> Check:
    start = time.monotonic()
    if trial.left() < 0:
        return Check(name, "unknown", "no time left: give it more seconds", 0.0)
    seed(SEED)
    try:
        outcome = run()
    except Unknown as why:
        return Check(name, "unknown", str(why), time.monotonic() - start)
    except Exception as error:  # noqa: BLE001  whatever their code raises is reported
        outcome = Outcome("an error in the model's or the loss's code", [_error(name, error)])
        if name == first_pass.NAME:
            trial.blocked = "the first pass ended with an error"
    failed = any(f.severity != "info" for f in outcome.findings)
    status: Status = "failed" if failed else "passed"
    seconds = time.monotonic() - start
    return Check(name, status, outcome.measured, seconds, tuple(outcome.findings))


def _error(name: str, error: Exception) -> Finding:
    """Type, message and the innermost line of code that is neither ours nor torch's."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith((_OURS, _TORCH))]
    where = f" (at {theirs[-1].filename}:{theirs[-1].lineno}: {theirs[-1].line})" if theirs else ""
    return Finding(
        name,
        "critical",
        f"{type(error).__name__}: {error}{where}",
        "The model or the loss cannot do what this check asks of it: "
        + _ASKED.get(name, "a forward and a backward pass in training mode")
        + ".",
        "Run the same by hand to see the whole traceback. If the arguments are wrong, see "
        "preflight's forward and loss_takes. If it is meant to be so, leave the check out: "
        f"skip=({name!r},).",
    )


_ASKED = {
    batch_axis.NAME: "a forward pass in evaluation mode",
    norms.NAME: "training steps with the normalisation layers passing their inputs on",
    overfit.NAME: "training steps on some rows of the batch",
}


def _find_layout(trial: Trial, axis: int | None) -> None:
    """Where the rows of the batch are, for the checks that take some of them."""
    if trial.first is None:
        return
    inputs_given = [t for _, t in tensors((trial.first.args, trial.first.kwargs))]
    found, _ = layouts(inputs_given, trial.first.output, axis)
    trial.layout = found[0] if found else None


def _subject(model: nn.Module, batch: Any) -> str:
    count = sum(p.numel() for p in model.parameters())
    shapes = ", ".join(f"{path or 'tensor'} {tuple(t.shape)}" for path, t in tensors(batch)[:4])
    return f"{type(model).__name__} ({count:,} parameters) on a batch of {shapes or 'no tensors'}"
