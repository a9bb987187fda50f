"""What to tell people: the words and numbers of an alert, and which alerts are news."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from monitor.alerts import Alert
from monitor.rules import render


class AlertDocument(TypedDict):
    """An alert as JSON has it; ``value`` is null where the number seen was NaN or infinite."""

    run: str
    alert: str
    detector: str
    severity: str
    subject: str
    onset_step: int
    fired_step: int
    fired_wall_time: float
    resolved_step: int | None
    value: float | None
    summary: str
    advice: str


def summary(alert: Alert) -> str:
    """One sentence: what was seen, where, in numbers."""
    return render(alert.rule.summary, _values(alert))


def advice(alert: Alert) -> str:
    """What it usually means and what to try."""
    return render(alert.rule.advice, _values(alert))


def number(value: float) -> str:
    """Four significant digits, as people write them."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{value:.4g}"


def _values(alert: Alert) -> Mapping[str, str]:
    evidence, rule = alert.evidence, alert.rule
    return {
        "learning_rate": "unknown",
        "optimizer": "unknown",
        **evidence.facts,
        "run": alert.run,
        "alert": rule.alert,
        "detector": rule.detector.name,
        "severity": rule.severity.label,
        "subject": alert.subject,
        "step": str(alert.fired.step),
        "onset": str(alert.onset_step),
        "value": number(evidence.value),
        "seen": evidence.seen,
        "layers": ", ".join(evidence.layers),
    }


def document(alert: Alert) -> AlertDocument:
    """The alert for ``--format json`` and the API."""
    value = alert.evidence.value
    return AlertDocument(
        run=alert.run,
        alert=alert.rule.alert,
        detector=alert.rule.detector.name,
        severity=alert.rule.severity.label,
        subject=alert.subject,
        onset_step=alert.onset_step,
        fired_step=alert.fired.step,
        fired_wall_time=alert.fired.clock,
        resolved_step=None if alert.resolved is None else alert.resolved.step,
        value=value if math.isfinite(value) else None,
        summary=summary(alert),
        advice=advice(alert),
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """News about one alert: it fires, or it has resolved."""

    alert: Alert
    resolved: bool


def news(before: Sequence[Alert], after: Sequence[Alert]) -> Iterable[Notice]:
    """What ``after`` has to tell to someone who knows ``before``; both are one run's alerts.

    An alert that came and went unseen in between is told as both.
    """
    known = {_identity(alert): alert for alert in before}
    for alert in after:
        old = known.pop(_identity(alert), None)
        if old is None:
            yield Notice(alert, resolved=False)
        if not alert.active and (old is None or old.active):
            yield Notice(alert, resolved=True)


def _identity(alert: Alert) -> tuple[str, int, float]:
    return alert.rule.alert, alert.fired.step, alert.fired.clock
