"""What a preflight returns: checks, findings, and an error for tests that assert on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]
Status = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or odd: the numbers, what they usually mean, what to try.

    ``info`` does not make its check fail; ``warning`` and ``critical`` do.
    """

    check: str
    severity: Severity
    seen: str
    meaning: str
    advice: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """How one check ended. ``reason``: what was measured, or why it does not apply."""

    name: str
    status: Status
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one preflight, and their findings, worst first."""

    subject: str
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether no check failed. One that does not apply neither passes nor fails."""
        return not any(check.status == "failed" for check in self.checks)

    def check(self, name: str) -> Check:
        """The check called ``name``; KeyError if there is none."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def raise_for_failures(self) -> None:
        """Raise :class:`PreflightFailed`, with the report as its message, unless ``ok``."""
        if not self.ok:
            raise PreflightFailed(self)

    def __str__(self) -> str:
        from monitor.experiments.text import text

        return text(self)


class PreflightFailed(AssertionError):  # noqa: N818  it reads well in a test's output
    """At least one check of a preflight failed; ``report`` has them all."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


class NotApplicable(Exception):  # noqa: N818  an answer, not an error
    """Raised by a check that cannot say anything about this model and batch, with the reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check hands back: a sentence with the numbers it measured, and its findings."""

    measured: str
    findings: Sequence[Finding] = ()
