"""The shape of a file of rule tests, as pydantic models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.rules.document import SEVERITIES, Section, Text, Texts, field_of, found
from monitor.rules.model import Span, Unit
from monitor.rules.spans import parse_span


def _step(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a step, a whole number, found {found(value)}")  # noqa: TRY004
    return value


def _steps(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    span = parse_span(value)
    if span.unit is not Unit.STEPS:
        raise ValueError(f"expected steps, e.g. '5 steps', found {found(value)}")
    return int(span.amount)


def _seconds(value: object) -> Span:
    span = parse_span(value)
    if span.unit is not Unit.SECONDS or not span.amount:
        raise ValueError(f"expected a time such as '1s' or '5m', found {found(value)}")
    return span


def _severity(value: object) -> str:
    if value not in SEVERITIES:
        raise ValueError(f"expected one of {', '.join(SEVERITIES)}, found {found(value)}")
    return str(value)


def _values(value: object) -> str:
    """A list is written as the text that it stands for."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        message = f"expected values such as '2-0.1x10 nan', found {found(value)}"
        raise ValueError(message)  # noqa: TRY004 - of the file, not of code
    return str(value)


_STEP = field_of(_step, {"type": "integer"})
_STEPS = field_of(_steps, {"type": ["integer", "string"]})
_SECONDS = field_of(_seconds, {"type": "string"})
_SEVERITY = field_of(_severity, {"enum": list(SEVERITIES)})
_VALUES = field_of(_values, {"type": ["string", "array"]})

Step = Annotated[int, _STEP[0], _STEP[1]]
Steps = Annotated[int, _STEPS[0], _STEPS[1]]
Seconds = Annotated[Span, _SECONDS[0], _SECONDS[1]]
SeverityName = Annotated[str, _SEVERITY[0], _SEVERITY[1]]
Values = Annotated[str, _VALUES[0], _VALUES[1]]


class SeriesSection(Section):
    """One series: a scalar with ``tag`` and ``values``, or layers with ``stat`` and ``layers``."""

    tag: Text | None = None
    values: Values | None = None
    stat: Text | None = None
    layers: dict[str, Values] = Field(default={}, description="Name of a layer to its values.")
    first_step: Step = 0
    every: Steps = 1


class AlertSection(Section):
    """An alert that must fire; what is left out may be anything."""

    alert: Text
    fired_step: Step | None = None
    resolved_step: Step | None = Field(default=None, description="null: fires to the end.")
    within: Steps = 0
    severity: SeverityName | None = None
    subject: Text | None = None


class CaseSection(Section):
    """One run, and all alerts that it must raise."""

    name: Text
    run: Text = "run"
    interval: Seconds | None = None
    series: list[SeriesSection]
    silence: Seconds | None = None
    alerts: list[AlertSection]
    ignore: Texts = ()


class TestsSection(Section):
    """A file of rule tests."""

    rule_files: Texts = ()
    interval: Seconds = Span(1, Unit.SECONDS)
    tests: list[CaseSection]
