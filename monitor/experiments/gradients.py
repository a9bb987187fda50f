"""Does a gradient reach every parameter that is to be trained."""

from __future__ import annotations

import torch
from torch import nn

from monitor.experiments.report import Finding, Outcome, Unknown
from monitor.experiments.trial import Trial

NAME = "gradients"

STEPS = 3
"""Steps of Adam looked at. Parameters behind a zero on purpose (the last scale of a residual
block, the B of a LoRA) have a gradient of exactly zero at the first step only."""

LEARNING_RATE = 1e-3


def check(trial: Trial) -> Outcome:
    """Three steps of Adam; fails where a parameter that requires a gradient never gets one.

    Told apart: no gradient at all (the parameter takes no part in the loss) and one that is
    exactly zero each time (it takes part, but behind dead or saturated units). Frozen parameters
    (``requires_grad`` False) are only counted.
    """
    trial.needs_loss()
    replica = trial.replica()
    wanted = {id(p): name for name, p in replica.model.named_parameters() if p.requires_grad}
    frozen = sum(not p.requires_grad for p in replica.model.parameters())
    if not wanted:
        raise Unknown("no parameter of the model requires a gradient")
    parameters = replica.trained()
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    reached: set[int] = set()
    touched: set[int] = set()
    for _ in range(STEPS):
        optimizer.zero_grad()
        replica.loss(trial.batch).backward()
        touched |= {id(p) for p in parameters if p.grad is not None}
        reached |= {id(p) for p in parameters if p.grad is not None and _any(p)}
        optimizer.step()
    missing = [name for key, name in wanted.items() if key not in touched]
    zero = [name for key, name in wanted.items() if key in touched and key not in reached]
    trial.silent = bool(zero)
    measured = f"{len(wanted) - len(missing) - len(zero)} of {len(wanted)} parameters have one"
    if frozen:
        measured += f"; {frozen} frozen on purpose"
    return Outcome(measured, [*_missing(missing, len(wanted)), *_zero(zero, len(wanted))])


def _any(parameter: nn.Parameter) -> bool:
    gradient = parameter.grad
    assert gradient is not None
    if gradient.layout is not torch.strided:
        gradient = gradient.coalesce().values()
    return bool((gradient != 0).any())


def _missing(names: list[str], total: int) -> list[Finding]:
    if not names:
        return []
    return [
        Finding(
            NAME,
            "critical" if len(names) == total else "warning",
            f"{len(names)} of {total} parameters that require a gradient get none",
            "They take no part in this loss: a layer that is made but not used, an output that "
            "the loss leaves out, a .detach() in between, or a loss_fn that uses another model "
            "than the one it is given.",
            "Use them, delete them, or freeze them with requires_grad_(False) if that is meant.",
            tuple(names),
        )
    ]


def _zero(names: list[str], total: int) -> list[Finding]:
    if not names:
        return []
    return [
        Finding(
            NAME,
            "warning",
            f"the gradient of {len(names)} of {total} parameters is exactly zero at each of the "
            f"first {STEPS} steps",
            "Units behind them are dead (ReLU that is 0 for every row) or saturated to the last "
            "digit, or they are multiplied by zero, such as an input that is zero or not used.",
            "Whiten the inputs, use variance-scaling initialisation and biases of 0, and LeakyReLU "
            "or GELU where units still die.",
            tuple(names),
        )
    ]
