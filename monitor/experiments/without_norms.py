"""Do the first iterations stay finite without the normalisation layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from monitor.experiments.norms import bypass
from monitor.experiments.report import Finding, Outcome, Unknown
from monitor.experiments.text import number
from monitor.experiments.trace import Seen, layers, traced, weights
from monitor.experiments.trees import floats
from monitor.experiments.trial import Replica, Trial

NAME = "without_norms"

STEPS = 3
"""The article's network was NaN at the second iteration, once without batch norm."""

LEARNING_RATE = 1e-3

FOLD = 1e3
"""Growth of the output against the same network with its norms, from which it explodes."""

PER_LAYER = 2.0
"""... if that is also this much per layer with weights. Residual blocks add variances: without
norms a healthy ResNet doubles its variance per block of two or three convolutions, a factor of
1.2 to 1.3 a layer, which is a large fold over 50 layers. Weights from a normal distribution
with a standard deviation of 1 give sqrt(fan_in / 2): 6 for 64 inputs."""


def check(trial: Trial) -> Outcome:
    """Three steps of Adam with every norm passing its input on (weight and bias kept).

    Fails where the loss or the output becomes NaN or infinite, though it stays finite with the
    norms in place, or where the output is ``FOLD`` times as large and grew by ``PER_LAYER`` per
    layer. A signal that shrinks without norms is quiet: torch's default initialisation does
    that in every deep network, and norms repair it without harm. Norms that are called as
    functions (``torch.nn.functional.layer_norm``) cannot be taken out. Source: the BYU
    article; its network did not converge for weeks because batch norm hid a bad initialisation.
    Norms before the first layer with weights stay: they whiten the inputs.
    """
    trial.needs_loss()
    bare = trial.replica()
    if any(p.dtype is torch.float16 for p in bare.model.parameters()):
        raise Unknown("half precision overflows at 65504: try a float32 copy")
    names = bypass(bare.model, keep=_whitening(trial))
    if not names:
        raise Unknown("no normalisation layer to take out")
    normal = _steps(trial.replica(), trial)
    if not normal.finite:
        raise Unknown("not finite with the norms either")
    without = _steps(bare, trial)
    layer_count = max(1, len(without.scales))
    fold = without.output / normal.output if normal.output > 0 else 1.0
    measured = (
        f"without {len(names)} norms: output RMS {number(without.output)} instead of "
        f"{number(normal.output)}, losses {without.listed()}"
    )
    if not without.finite:
        when = len(without.losses)
        seen = f"without its {len(names)} norms the network is not finite at iteration {when}"
        return Outcome(measured, [_finding(seen, without, normal)])
    if fold >= FOLD and fold >= PER_LAYER**layer_count:
        each = fold ** (1 / layer_count)
        seen = (
            f"without its {len(names)} norms the output is {number(fold)} times as large, "
            f"{number(each)} times per layer"
        )
        return Outcome(measured, [_finding(seen, without, normal)])
    return Outcome(measured)


def _whitening(trial: Trial) -> set[str]:
    """Norms that run before any layer with weights: they whiten the inputs, as they should."""
    replica = trial.replica()
    with traced(replica.model) as seen:
        replica.run(trial.batch)
    first = next((i for i, s in enumerate(seen) if weights(s.module)), 0)
    return {s.name for s in seen[:first]}


@dataclass(slots=True)
class _Steps:
    """``output``: RMS of the first output; ``scales``: of each layer's first activations."""

    losses: list[float] = field(default_factory=list)
    output: float = math.nan
    finite: bool = True
    scales: list[tuple[str, float]] = field(default_factory=list)

    def listed(self) -> str:
        return ", ".join(number(loss) for loss in self.losses)


def _steps(replica: Replica, trial: Trial) -> _Steps:
    optimizer = torch.optim.Adam(replica.trained(), lr=LEARNING_RATE)
    result = _Steps()
    for step in range(STEPS):
        optimizer.zero_grad()
        if step == 0:
            with traced(replica.model) as seen:
                found = replica.run(trial.batch)
            result.scales = [(s.name, _rms(s)) for s in layers(seen)]
            outputs = floats(found.output)
            result.output = max((float(rms(o)) for o in outputs), default=math.nan)
        else:
            found = replica.run(trial.batch)
        result.losses.append(float(found.loss.detach()))
        outputs_finite = all(bool(torch.isfinite(o).all()) for o in floats(found.output))
        if not outputs_finite or not math.isfinite(result.losses[-1]):
            result.finite = False
            break
        found.loss.backward()
        optimizer.step()
    return result


def _rms(seen: Seen) -> float:
    return float(rms(seen.output))


def rms(values: torch.Tensor) -> torch.Tensor:
    """0-d: root mean square, in float64 where the device has it, so that it cannot overflow."""
    wide = values.detach().float() if values.device.type == "mps" else values.detach().double()
    return wide.square().mean().sqrt()


def _finding(seen: str, without: _Steps, normal: _Steps) -> Finding:
    grown = ", ".join(f"{number(scale)} at {name}" for name, scale in _ends(without.scales))
    steady = ", ".join(f"{number(scale)} at {name}" for name, scale in _ends(normal.scales))
    return Finding(
        NAME,
        "critical",
        f"{seen} (losses {without.listed()}; activation RMS {grown}; with norms {steady})",
        "Normalisation hides activations that explode with depth: the initialisation is too "
        "large, and with it gradients and the size of updates are out of hand.",
        "Use variance-scaling (fan-in) initialisation, such as torch.nn.init.kaiming_normal_, and "
        "debug without the norms until the network overfits one batch; then put them back.",
        tuple(name for name, _ in without.scales),
    )


def _ends(scales: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """First and last, where there are any."""
    return scales if len(scales) < 2 else [scales[0], scales[-1]]
