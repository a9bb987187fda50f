"""Runs as the page is handed them, for tests."""

from __future__ import annotations

from dataclasses import replace

from monitor.alerts import Alert, Moment
from monitor.points import Evidence
from monitor.rules import Severity, default_path, load
from monitor.views import RunView

RULE = load(default_path()).rules[0]


def alert(run: str, name: str, severity: str, *, resolved: bool = False, step: int = 20) -> Alert:
    """An alert that fired at ``step`` and perhaps resolved ten steps later."""
    rule = replace(RULE, alert=name, severity=Severity[severity.upper()])
    return Alert(
        rule=rule,
        run=run,
        subject="loss",
        onset_step=step - 5,
        fired=Moment(step, step, 1000.0 + step),
        resolved=Moment(step + 10, step + 10, 1010.0 + step) if resolved else None,
        evidence=Evidence(float("nan"), "it was seen", facts={"optimizer": "Adam"}, saw_from=3),
        tags=("loss",),
    )


def view(run: str, *alerts: Alert, last_step: int = 0, last_event: float = 0.0) -> RunView:
    """A run with these alerts and a loss."""
    return RunView(run, last_step, last_event, False, alerts, {}, {"loss": 1.0, "lr": 0.1}, {}, {})
