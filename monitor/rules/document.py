"""The shape of a rule file, as pydantic models.

What a value must look like on its own is said here; what depends on the detectors or on other
parts of the file is in :mod:`monitor.rules.checks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from monitor.rules.model import Severity, Span
from monitor.rules.patterns import parse_pattern
from monitor.rules.spans import PATTERN, ZERO, parse_span

T = TypeVar("T")
Json = dict[str, Any]

VERSION = 1
SEVERITIES = tuple(severity.label for severity in Severity)
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
ALERT = r"[A-Z][A-Za-z0-9]*"
ROLE = r"[a-z][a-z0-9_]*"


def found(value: object) -> str:
    """A short name for a value of the wrong kind."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _version(value: object) -> int:
    if isinstance(value, bool) or value != VERSION or not isinstance(value, int):
        raise ValueError(f"version {found(value)} is not supported; supported: {VERSION}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        quotes = ", in quotes" if isinstance(value, bool | int | float) else ""
        raise ValueError(f"expected text{quotes}, found {found(value)}")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {found(value)}")  # noqa: TRY004
    return value


def _alert(value: object) -> str:
    text = _text(value)
    if re.fullmatch(ALERT, text):
        return text
    words = re.findall("[A-Za-z0-9]+", text.lstrip("0123456789 _-"))
    camel = "".join(word[0].upper() + word[1:] for word in words)
    example = repr(camel) if re.fullmatch(ALERT, camel) else "for example 'LossDiverging'"
    raise ValueError(f"{found(text)} is not a name in CamelCase: write {example}")


def _listed(value: object) -> object:
    """Where one thing may stand for a list of one."""
    if value == []:
        raise ValueError("an empty list matches nothing: leave it out")
    return value if isinstance(value, list) else [value]


def field_of(parse: Callable[[object], object], schema: Json) -> tuple[BeforeValidator, Any]:
    """Metadata of a field that ``parse`` reads; its ValueErrors are all that the user sees."""

    def parsed(value: object) -> object:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("rules", "{said}", {"said": str(error)}) from None

    return BeforeValidator(parsed), WithJsonSchema(schema)


_STRING: Json = {"type": "string"}
_LIST: Json = {"type": "array", "items": _STRING, "minItems": 1}
_ZERO: Json = {"default": "0 steps"}
_SPAN: Json = {"anyOf": [{"const": 0}, {"type": "string", "pattern": PATTERN}]}

_V = field_of(_version, {"const": VERSION})
_T = field_of(_text, _STRING)
_B = field_of(_truth, {"type": "boolean"})
_A = field_of(_alert, {"type": "string", "pattern": f"^{ALERT}$"})
_S = field_of(parse_span, _SPAN)
_P = field_of(parse_pattern, _STRING)
_L = field_of(_listed, {"anyOf": [_STRING, _LIST]})

VersionNumber = Annotated[int, _V[0], _V[1]]
Text = Annotated[str, _T[0], _T[1]]
Truth = Annotated[bool, _B[0], _B[1]]
AlertName = Annotated[str, _A[0], _A[1]]
SpanText = Annotated[Span, _S[0], _S[1]]
PatternText = Annotated[re.Pattern[str], _P[0], _P[1]]
PatternTexts = Annotated[tuple[PatternText, ...], _L[0], _L[1]]
Texts = Annotated[tuple[Text, ...], _L[0], _L[1]]


class Section(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class MatchSection(Section):
    """Which series a rule looks at. Globs ignore case and mean the whole name; /regexes/ search."""

    role: PatternTexts = Field(default=(), description="What the series is for.")
    tag: PatternTexts = Field(default=(), description="The series' tag, as in TensorBoard.")
    run: PatternTexts = Field(default=(), description="The run's directory.")
    stat: PatternTexts = Field(default=(), description="Of layer series: grad_norm, ...")
    layer: PatternTexts = Field(default=(), description="Names of layers.")
    layer_kind: PatternTexts = Field(default=(), description="Classes of layers: Linear, ...")


class AnnotationsSection(Section):
    """What an alert tells people; {{ name }} is replaced by a value."""

    summary: Text = Field(
        default="{{ run }}: {{ seen }}", description="One sentence: what was seen."
    )
    advice: Text = Field(default="", description="What it usually means, what to try.")
    runbook_url: Text = Field(default="", description="Where there is more to read.")


class RuleSection(Section):
    """One rule: a detector tied to series, and how to speak of what it finds."""

    alert: AlertName = Field(description="CamelCase, unique in the file.")
    detect: Text = Field(description="The detector.")
    match: MatchSection = Field(
        default=MatchSection(), description="Default: as the detector wants it."
    )
    params: dict[str, Any] = Field(default={}, description="The detector's own; all have defaults.")
    hold: SpanText = Field(
        default=ZERO,
        json_schema_extra=_ZERO,
        alias="for",
        description="How long it must hold to fire.",
    )
    keep_firing_for: SpanText = Field(
        default=ZERO, json_schema_extra=_ZERO, description="How long it fires on when it is over."
    )
    labels: dict[str, Text] = Field(
        {}, description="Identity: severity (info, warning, critical) and labels of your own."
    )
    annotations: AnnotationsSection = AnnotationsSection()
    enabled: Truth = Field(default=True, description="false: checked, but not in force.")


class GroupSection(Section):
    """Rules that belong together."""

    name: Text
    rules: list[RuleSection]


class InhibitSection(Section):
    """While a source alert is there, target alerts of the same run are not shown."""

    source: dict[str, Texts] = Field(description="Label to value, or to a list of values.")
    target: dict[str, Texts] = Field(description="The same.")
    equal: Texts = Field(default=("run",), description="Labels in which both must agree.")


class FileSection(Section):
    """A rule file of the training health monitor."""

    version: VersionNumber = Field(description="The version of this format.")
    roles: dict[str, PatternTexts] = Field(
        default={}, description="Names for series, by tag pattern."
    )
    groups: list[GroupSection]
    inhibit: list[InhibitSection] = []
