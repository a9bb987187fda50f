"""Stand-ins for tests of the machinery: detectors whose verdicts are obvious, rules, points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from monitor.detectors.base import Detector
from monitor.points import (
    OK,
    UNKNOWN,
    Batch,
    Curve,
    Events,
    Evidence,
    Floats,
    Health,
    Points,
    SeriesKey,
    Verdict,
    Verdicts,
    Window,
)
from monitor.rules import Match, Roles, Rule, RuleSet, Severity, Span, Unit
from monitor.rules.model import Inhibition

NOW = Span(0, Unit.STEPS)


@dataclass(frozen=True)
class MeanAbove:
    """Bad where the mean of the last ``points`` points is above ``limit``."""

    limit: float = 0.0
    points: int = 1
    name: ClassVar[str] = "mean_above"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = ()

    @property
    def lookback(self) -> int:
        return self.points

    def __call__(self, window: Window) -> Verdicts:
        at = range(len(window.steps) - window.new, len(window.steps))
        return Verdicts(np.array([self._health(window, i) for i in at], dtype=np.int8))

    def _health(self, window: Window, i: int) -> Health:
        if i + 1 < self.points:
            return Health.UNKNOWN
        return Health.BAD if self._mean(window, i) > self.limit else Health.OK

    def _mean(self, window: Window, i: int) -> float:
        return float(np.mean(window.values[i + 1 - self.points : i + 1]))

    def explain(self, window: Window) -> Evidence:
        value = self._mean(window, len(window.steps) - 1)
        return Evidence(value, f"mean {value:.3g} over steps {window.steps.tolist()}")


@dataclass(frozen=True)
class AboveContext:
    """Bad where a value is above that of the role ``learning_rate``."""

    name: ClassVar[str] = "above_context"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = ("learning_rate",)
    lookback: ClassVar[int] = 1

    def __call__(self, window: Window) -> Verdicts:
        rate = window.context["learning_rate"][-window.new :]
        values = window.values[-window.new :]
        health = np.where(values > rate, Health.BAD, Health.OK)
        return Verdicts(np.where(np.isnan(rate), Health.UNKNOWN, health).astype(np.int8))

    def explain(self, window: Window) -> Evidence:
        return Evidence(float(window.values[-1]), "above")


@dataclass(frozen=True)
class CurveMean:
    """Bad where the mean of the whole curve is above ``limit``."""

    limit: float = 0.0
    name: ClassVar[str] = "curve_mean"
    context: ClassVar[tuple[str, ...]] = ()

    def judge(self, curve: Curve) -> Verdict:
        known = curve.mean[np.isfinite(curve.mean)]
        if len(known) < 4:
            return UNKNOWN
        mean = float(np.mean(known))
        return Verdict(Health.BAD, Evidence(mean, "high")) if mean > self.limit else OK


def rule(
    alert: str = "Toy",
    detector: Detector | None = None,
    hold: Span = NOW,
    keep: Span = NOW,
    severity: Severity = Severity.WARNING,
    match: Match | None = None,
) -> Rule:
    """A rule that looks at every scalar series unless told otherwise."""
    return Rule(
        alert=alert,
        group="toys",
        detector=detector or MeanAbove(),
        match=match or Match(),
        hold=hold,
        keep_firing_for=keep,
        severity=severity,
        labels={"severity": severity.label},
        summary="{{ run }}: {{ seen }}",
        advice="Look at it.",
    )


def rule_set(*rules: Rule, inhibitions: Sequence[Inhibition] = ()) -> RuleSet:
    return RuleSet(rules, tuple(inhibitions), Roles())


def tag(pattern: str) -> Match:
    """Matches tags by a regular expression."""
    return Match(tag=(re.compile(pattern),))


def scalar_points(
    values: Sequence[float] | Floats,
    tag: str = "loss",
    run: str = "run",
    writer: str = "w",
    steps: Sequence[int] | None = None,
    clock: Sequence[float] | None = None,
) -> Points:
    """One point per second and step, unless told otherwise."""
    n = len(values)
    at = np.arange(n) if steps is None else np.asarray(steps, dtype=np.int64)
    times = at.astype(np.float64) + 1.0 if clock is None else np.asarray(clock, dtype=np.float64)
    return Points(
        SeriesKey(run, tag), writer, at, times, times, np.asarray(values, dtype=np.float64)
    )


def batch(*points: Points) -> Batch:
    clock, first = np.unique(np.concatenate([p.clock for p in points]), return_index=True)
    steps = np.concatenate([p.steps for p in points])[first]
    return Batch(points[0].key.run, points[0].writer, points, Events(steps, clock))
