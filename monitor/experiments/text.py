"""A report as plain text, 88 columns wide: no colours, no boxes, good in a log and in a test."""

from __future__ import annotations

import textwrap

from monitor.experiments.report import Check, Finding, Report

WIDTH = 88
_MARKS = {"passed": "passed", "failed": "FAILED", "unknown": "unknown"}
_LAYERS_SHOWN = 6


def text(report: Report) -> str:
    """The summary, one paragraph per check, then the findings with meaning and advice."""
    failed = len(report.failures)
    verdict = f"{failed} of {len(report.checks)} checks failed" if failed else "nothing failed"
    title = f"Preflight of {report.subject}: {verdict} ({report.seconds:.1f} s)"
    lines = [*textwrap.wrap(title, WIDTH, subsequent_indent="    "), ""]
    for check in report.checks:
        lines += _check(check)
    for finding in report.findings:
        lines += ["", *_finding(finding)]
    return "\n".join(lines)


def _check(check: Check) -> list[str]:
    head = f"  {_MARKS[check.status]:<7} {check.name:<14} "
    return textwrap.wrap(
        check.reason, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
    ) or [head.rstrip()]


def _finding(finding: Finding) -> list[str]:
    parts = [("", f"{finding.severity} {finding.check}: {finding.seen}")]
    if finding.layers:
        parts.append(("  layers: ", names(finding.layers)))
    parts.append(("  usually: ", finding.meaning))
    parts.append(("  try: ", finding.advice))
    lines: list[str] = []
    for head, words in parts:
        lines += textwrap.wrap(
            words, WIDTH, initial_indent=head, subsequent_indent="    ", break_long_words=False
        )
    return lines


def names(layers: tuple[str, ...] | list[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(layers[:_LAYERS_SHOWN])
    more = len(layers) - _LAYERS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"
