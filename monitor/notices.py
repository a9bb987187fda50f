"""What to tell people: the words and numbers of an alert, and which alerts are news."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

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


def picture_name(alert: str, fired_step: int) -> str:
    """What the picture of an alert is called, within its run: ``LossDiverging-455``."""
    return f"{alert}-{fired_step}"


class Identity(NamedTuple):
    """What tells one alert of a run from another; replaying the run gives the same ones."""

    alert: str
    step: int
    clock: float


def identity(alert: Alert) -> Identity:
    """Of an alert: its rule, and where it fired."""
    return Identity(alert.rule.alert, alert.fired.step, alert.fired.clock)


@dataclass(frozen=True, slots=True)
class Notice:
    """News about one alert: it fires, or it has resolved."""

    identity: Identity
    document: AlertDocument
    resolved: bool
    ended_at: float | None
    """Event time, in seconds since the epoch, at which the alert was over; None while it fires,
    and where it is gone without an end: another alert has taken its place, or the run is gone."""


def news(known: Mapping[Identity, AlertDocument | None], alerts: Sequence[Alert]) -> list[Notice]:
    """What a run's ``alerts`` have to tell to someone who knows of some already.

    ``known``: what was told as firing, None once it was told as resolved. An alert that came and
    went unseen is told as both; one that is there no more has resolved.
    """
    found, gone = [], dict(known)
    for alert in alerts:
        key, end = identity(alert), alert.resolved
        new, was_open = key not in gone, gone.pop(key, None) is not None
        fires, ends = new or (end is None and not was_open), end is not None and (new or was_open)
        said = document(alert) if fires or ends else None  # it costs too much to be made in vain
        if said is not None and fires:
            found.append(Notice(key, said, False, None))
        if said is not None and end is not None and ends:
            found.append(Notice(key, said, True, end.clock))
    for key, told in gone.items():
        if told is not None:
            found.append(Notice(key, told, True, None))
    return found
