"""Alerts as structured log lines."""

from __future__ import annotations

from typing import Protocol

from monitor.notices import Notice, advice, number, summary
from monitor.rules import Severity


class Logger(Protocol):
    """The part of a structlog logger that is needed here."""

    def info(self, event: str, **values: object) -> object: ...
    def warning(self, event: str, **values: object) -> object: ...
    def error(self, event: str, **values: object) -> object: ...


class LogSink:
    """Writes one line per notice: firing at the alert's severity, resolved as information."""

    name = "log"

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def publish(self, notice: Notice) -> None:
        alert = notice.alert
        severity = alert.rule.severity
        values: dict[str, object] = {
            "run": alert.run,
            "alert": alert.rule.alert,
            "severity": severity.label,
            "subject": alert.subject,
        }
        if notice.resolved:
            step = None if alert.resolved is None else alert.resolved.step
            self._logger.info("alert resolved", **values, fired_step=alert.fired.step, step=step)
            return
        write = {
            Severity.INFO: self._logger.info,
            Severity.WARNING: self._logger.warning,
            Severity.CRITICAL: self._logger.error,
        }[severity]
        write(
            "alert firing",
            **values,
            step=alert.fired.step,
            onset_step=alert.onset_step,
            value=number(alert.evidence.value),
            summary=summary(alert),
            advice=advice(alert),
        )
