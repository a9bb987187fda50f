"""Spans of training: ``50 steps``, ``30 points``, ``5m``, ``1h30m`` or ``0``."""

from __future__ import annotations

import re

from monitor.nearest import nearest
from monitor.rules.model import Span, Unit

EXAMPLES = "'50 steps', '30 points', '90s', '5m' or '1h30m'"

LONGEST = 10**12
"""In steps, points or seconds: nobody waits longer, and sums of a few stay exact as doubles."""

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = "".join(rf"(?:(?P<{letter}>[0-9]{{1,12}}){letter})?" for letter in _SECONDS)

PATTERN = (
    r"^(0|[0-9]{1,12} *(steps?|points?)"
    r"|(?=[0-9])([0-9]{1,12}w)?([0-9]{1,12}d)?([0-9]{1,12}h)?([0-9]{1,12}m)?([0-9]{1,12}s)?)$"
)
"""For the JSON schema."""

ZERO = Span(0, Unit.STEPS)


def parse_span(value: object) -> Span:
    """Reads a span as YAML gave it; ValueError says what is wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a span: {EXAMPLES}")  # noqa: TRY004 - of the file, not of code
    if not isinstance(value, str):
        return _bare(value)
    text = value.strip()
    if text == "0":
        return ZERO
    span = _counted(text) or _timed(text)
    if span is None:
        raise ValueError(_complaint(text))
    if span.amount > LONGEST:
        raise ValueError(f"{text!r} is too long")
    return span


def show_span(span: Span) -> str:
    """The text that :func:`parse_span` reads as ``span`` (of whole steps, points or seconds)."""
    amount = int(span.amount)
    if span.unit is not Unit.SECONDS:
        name = span.unit.value
        return f"{amount} {name[:-1] if amount == 1 else name}"
    parts = []
    for letter, seconds in _SECONDS.items():
        many, amount = divmod(amount, seconds)
        if many:
            parts.append(f"{many}{letter}")
    return "".join(parts) or "0s"


def _bare(value: float) -> Span:
    if value == 0:
        return ZERO
    if value < 0:
        raise ValueError(f"a span cannot be negative: {value}")
    if value <= LONGEST and float(value).is_integer():
        many = int(value)
        raise ValueError(f"{many} of what? Write '{many} steps', '{many} points' or '{many}s'")
    raise ValueError(f"{value} is not a span: write {EXAMPLES}")


def _counted(text: str) -> Span | None:
    found = re.fullmatch(r"([0-9]{1,12})\s*(step|point)s?", text)
    return Span(int(found[1]), Unit(found[2] + "s")) if found else None


def _timed(text: str) -> Span | None:
    found = re.fullmatch(_DURATION, text)
    if found is None or not text:
        return None
    amount = sum(int(many) * _SECONDS[k] for k, many in found.groupdict().items() if many)
    return Span(amount, Unit.SECONDS)


def _complaint(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,12}", text):
        return f"{text} of what? Write '{text} steps', '{text} points' or '{text}s'"
    clock = re.fullmatch(r"([0-9]{1,3}):([0-9]{1,2})(?::([0-9]{1,2}))?", text)
    if clock:
        h, m, s = ("0", clock[1], clock[2]) if clock[3] is None else clock.groups()
        parts = ((h, "h"), (m, "m"), (s, "s"))
        written = "".join(f"{int(n)}{letter}" for n, letter in parts if int(n)) or "0s"
        return f"{text!r} is not a span: for a time write {written!r}"
    worded = re.fullmatch(r"(-?[0-9.]+)\s*([A-Za-z]+)", text)
    if worded and worded[1].startswith("-"):
        return f"a span cannot be negative: {text!r}"
    if worded:
        unit = _unit(worded[2])
        if unit and worded[1].isdigit():
            return f"{text!r} is not a span: did you mean {worded[1] + unit!r}? Known: {EXAMPLES}"
    return f"{text!r} is not a span: write {EXAMPLES}"


def _unit(word: str) -> str | None:
    units = ["steps", "points", "seconds", "secs", "minutes", "mins", "hours", "days"]
    meant = nearest(word, units)
    if meant is None:
        return None
    return " " + meant if meant in ("steps", "points") else meant[0]
