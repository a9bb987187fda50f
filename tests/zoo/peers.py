"""Peers' published default rules on the same runs.

``losslint`` and ``trainpulse`` are the packages as they are on PyPI, if they are installed (extra
``bench``). SageMaker Debugger and AUTOTRAINER cannot be run here; what stands here is their rules
as published (AWS's page of built-in rules; Zhang et al., ICSE 2021), re-implemented on what the
hook and the scalars give. What a rule needs and a run does not log, it does not judge.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from monitor.notices import AlertDocument
from monitor.points import Floats, Layers, Points, SeriesKey
from monitor.rules.roles import builtin_roles
from monitor.sources.logdir import LogDirs


@dataclass
class Series:
    """A series of one run: steps [T], values [T] or [T, N]."""

    steps: list[int] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    layers: Layers | None = None

    def add(self, points: Points) -> None:
        """More of it; layers that have changed begin it anew."""
        if points.layers is not None and points.layers != self.layers:
            self.steps, self.values, self.layers = [], [], points.layers
        self.steps += points.steps.tolist()
        self.values.append(points.values)

    @property
    def column(self) -> Floats:
        """All values."""
        joined: Floats = np.concatenate(self.values)
        return joined


Run = Mapping[SeriesKey, Series]
Peer = Callable[[Path, Run], Iterator[AlertDocument]]


def read(place: Path) -> Run:
    """Everything that a run has logged."""
    dirs = LogDirs([place])
    dirs.rescan()
    found: dict[SeriesKey, Series] = {}
    while batches := dirs.read(final=True):
        for batch in batches:
            for column in batch.columns:
                found.setdefault(column.key, Series()).add(column.points())
    return found


def role(run: Run, name: str) -> Series | None:
    """The first series that serves as ``name``."""
    return next((s for key, s in run.items() if name in builtin_roles(*key)), None)


def named(run: Run, tag: str) -> Series | None:
    """The first series with this tag."""
    return next((s for key, s in run.items() if key.tag == tag), None)


def said(detector: str, step: int, severity: str = "warning", rule: str = "") -> AlertDocument:
    """In our words, so that it can be scored alike."""
    return AlertDocument(
        run=".", alert=rule or detector, detector=detector, severity=severity, subject="",
        onset_step=step, fired_step=step, fired_wall_time=float(step), resolved_step=None,
        value=None, summary="", advice="",
    )  # fmt: skip


def first(steps: Sequence[int], bad: ArrayLike) -> int | None:
    """The first step at which it is bad."""
    at = np.flatnonzero(np.asarray(bad))
    return int(steps[int(at[0])]) if len(at) else None


# --- losslint 0.4 ---------------------------------------------------------------------------

LOSSLINT = {
    "nan_inf": ("nonfinite", "critical"),
    "divergence": ("divergence", "critical"),
    "loss_spike": ("loss_spike", "warning"),
    "overfit_onset": ("overfitting", "info"),
    "stagnation": ("plateau", "info"),
}
"""Its checks and severities in our words; the other two are no faults of a run."""


def losslint(place: Path, run: Run) -> Iterator[AlertDocument]:
    """Lints a log when the run is over: a finding is dated by the step that it names, else last."""
    checks = importlib.import_module("losslint.checks")
    parsing = importlib.import_module("losslint.parsing")
    for path in sorted(place.rglob("*tfevents*")):
        if ".health." in path.name:
            continue
        for finding in checks.run_all_checks(parsing.load_run(path)):
            if finding.check in LOSSLINT:
                detector, severity = LOSSLINT[finding.check]
                steps = finding.details.get("steps") or [_last(run)]
                yield said(detector, int(steps[0]), severity, finding.check)


def _last(run: Run) -> int:
    return max((series.steps[-1] for series in run.values() if series.steps), default=0)


# --- trainpulse 0.4 -------------------------------------------------------------------------

TRAINPULSE = {
    "nan_detector": "nonfinite",
    "loss_spike": "loss_spike",
    "learning_rate": "learning_rate_jump",
    "plateau": "plateau",
    "step_time": "throughput_drop",
}


def trainpulse(place: Path, run: Run) -> Iterator[AlertDocument]:
    """Its monitor, told of the loss, the gradient norm and the learning rate at each step."""
    monitor = importlib.import_module("trainpulse").Monitor()
    names = {"loss": "train_loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate"}
    for name, ours in names.items():
        series = role(run, ours)
        if series is not None:
            for step, value in zip(series.steps, series.column, strict=True):
                monitor.log(name, int(step), float(value))
    seconds, val = named(run, "health/step_seconds"), role(run, "val_loss")
    if seconds is not None:
        # Its stopwatch stands still while somebody validates; the hook's does not.
        validated = set() if val is None else {step + 1 for step in val.steps}
        for step, value in zip(seconds.steps, seconds.column, strict=True):
            if step not in validated:
                monitor.log("step_time", int(step), float(value))
    for alert in monitor.alerts:
        vanishing = "anishing" in alert.message
        gradient = "vanishing_gradient" if vanishing else "exploding_gradient"
        detector = TRAINPULSE.get(alert.detector, gradient)
        yield said(detector, alert.step, alert.severity.value, alert.detector)


# --- SageMaker Debugger's built-in rules, as published ----------------------------------------


def sagemaker(place: Path, run: Run) -> Iterator[AlertDocument]:
    """Fixed thresholds on every tensor that is there; an alert stops the job, so: warnings."""
    yield from _tensors(run)
    loss = role(run, "train_loss")
    if loss is not None:
        yield from _losses(run, loss)
    grads, weights = named(run, "layer/grad_norm"), named(run, "layer/weight_norm")
    if grads is not None and grads.layers is not None:
        size = np.array([max(1, math.prod(shape)) for shape in grads.layers.shapes])
        # mean |g| of a layer is about 0.8 times its root mean square.
        typical = 0.8 * grads.column / np.sqrt(size)
        yield from _when(grads, "vanishing_gradient", (typical < 1e-7).any(axis=1))
    if weights is not None and len(weights.column) > 3:
        still = np.abs(np.diff(weights.column, axis=0)) <= 1e-8 + 1e-5 * weights.column[1:]
        three = still[2:] & still[1:-1] & still[:-2]
        step = first(weights.steps[3:], three.any(axis=1))
        if step is not None:
            yield said("unchanged_weights", step, rule="UnchangedTensor")
    ratio = named(run, "layer/update_ratio")
    if ratio is not None:
        outside = (ratio.column > 10) | (ratio.column < 1e-8)
        yield from _when(ratio, "update_ratio", outside.any(axis=1))


def _when(series: Series, detector: str, bad: ArrayLike) -> Iterator[AlertDocument]:
    step = first(series.steps, bad)
    if step is not None:
        yield said(detector, step)


def _tensors(run: Run) -> Iterator[AlertDocument]:
    """ExplodingTensor: NaN or infinity anywhere; DeadRelu; SaturatedActivation."""
    for (_, tag), series in run.items():
        if tag.startswith("layer/") and not tag.endswith("nonfinite"):
            continue
        bad = series.column > 0 if tag.endswith("nonfinite") else ~np.isfinite(series.column)
        yield from _when(series, "nonfinite", bad.reshape(len(bad), -1).any(axis=1))
    zero, full = named(run, "layer/act_zero_fraction"), named(run, "layer/act_saturated_fraction")
    if zero is not None and zero.layers is not None:
        relu = np.array([kind == "ReLU" for kind in zero.layers.kinds])
        # Half of the units active in under 1 % of the cases; the hook counts zeros of all units
        # together, of which living ones have about half.
        yield from _when(zero, "dead_units", (zero.column[:, relu] > 0.75).any(axis=1))
    if full is not None:
        yield from _when(full, "saturated_units", (full.column > 0.5).any(axis=1))


def _losses(run: Run, loss: Series) -> Iterator[AlertDocument]:
    """LossNotDecreasing: under 0.1 % in 10 steps; Overfit: validation 10 % above training."""
    values = loss.column
    if len(values) > 10:
        still = values[10:] > 0.999 * values[:-10]
        step = first(loss.steps[10:], still)
        if step is not None:
            yield said("not_learning", step, rule="LossNotDecreasing")
    val = role(run, "val_loss")
    if val is not None:
        at = np.clip(np.searchsorted(loss.steps, val.steps) - 1, 0, len(values) - 1)
        means = np.array([np.mean(values[max(0, i - 50) : i + 1]) for i in at])
        yield from _when(val, "overfitting", val.column > 1.1 * means)


# --- AUTOTRAINER, as published ------------------------------------------------------------------


def autotrainer(place: Path, run: Run) -> Iterator[AlertDocument]:
    """Its five problems, with the thresholds of the paper."""
    grads = named(run, "layer/grad_norm")
    if grads is not None and grads.column.shape[1] >= 2 and grads.layers is not None:
        matrices = np.array([name.endswith("weight") for name in grads.layers.names])
        column = grads.column[:, matrices]
        if column.shape[1] >= 2:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = column[:, 0] / column[:, -1]
            yield from _when(grads, "vanishing_gradient", ratio < 1e-3)
            yield from _when(grads, "exploding_gradient", (ratio > 70) | (column > 70).any(axis=1))
        dead = (grads.column == 0).mean(axis=1) > 0.7
        yield from _when(grads, "dead_units", dead)
    loss = role(run, "train_loss")
    if loss is not None:
        yield from _when(loss, "nonfinite", ~np.isfinite(loss.column))
    score = role(run, "val_accuracy") or role(run, "accuracy")
    if score is not None and len(score.column) > 3:
        change = np.diff(score.column)
        swings = (change[1:] * change[:-1] < 0) & (np.abs(change[1:]) > 0.03)
        step = first(score.steps[2:], swings & (np.abs(change[:-1]) > 0.03))
        if step is not None:
            yield said("oscillation", step)
        slow = score.column[3:] - score.column[:-3] < 0.01
        step = first(score.steps[3:4], slow[:1])
        if step is not None:
            yield said("slow_learning", step)


PEERS: Mapping[str, Peer] = {
    "SageMaker Debugger (re-implemented)": sagemaker,
    "AUTOTRAINER (re-implemented)": autotrainer,
    "losslint 0.4.1": losslint,
    "trainpulse 0.4.0": trainpulse,
}
NEEDS = {"losslint 0.4.1": "losslint", "trainpulse 0.4.0": "trainpulse"}


def installed(name: str) -> bool:
    """Whether a peer can be asked here."""
    package = NEEDS.get(name)
    return package is None or importlib.util.find_spec(package) is not None


def verdicts(name: str, place: Path, run: Run) -> list[AlertDocument]:
    """What a peer says, in order."""
    return sorted(PEERS[name](place, run), key=lambda alert: alert["fired_step"])
