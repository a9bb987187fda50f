"""What a preflight returns: checks, findings, and an error for tests that assert on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]
Status = Literal["passed", "failed", "unknown"]


_WORST_FIRST = ("critical", "warning", "info")


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
    """How one check ended. ``reason``: what was measured, or why nothing can be said."""

    name: str
    status: Status
    reason: str
    seconds: float
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one preflight, in the order in which they ran."""

    subject: str
    checks: tuple[Check, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether no check failed. One that is unknown has neither passed nor failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of all checks, the worst first, then in the order of the checks."""
        found = (finding for check in self.checks for finding in check.findings)
        return tuple(sorted(found, key=lambda finding: _WORST_FIRST.index(finding.severity)))

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


class Unknown(Exception):  # noqa: N818  an answer, not an error
    """Raised by a check that cannot say anything about this model and batch, with the reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check hands back: a sentence with the numbers it measured, and its findings."""

    measured: str
    findings: Sequence[Finding] = ()
