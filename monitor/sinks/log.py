"""Alerts as structured log lines."""

from __future__ import annotations

from typing import Protocol

from monitor.notices import Notice


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
        said = notice.document
        values: dict[str, object] = {
            "run": said["run"],
            "alert": said["alert"],
            "severity": said["severity"],
            "subject": said["subject"],
            "fired_step": said["fired_step"],
        }
        if notice.resolved:
            self._logger.info("alert resolved", **values, step=said["resolved_step"])
            return
        write = {
            "info": self._logger.info,
            "warning": self._logger.warning,
            "critical": self._logger.error,
        }[said["severity"]]
        write(
            "alert firing",
            **values,
            onset_step=said["onset_step"],
            summary=said["summary"],
            advice=said["advice"],
        )
