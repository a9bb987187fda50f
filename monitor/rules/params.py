"""Parameters of detectors: the fields of their dataclasses, read from YAML values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from monitor.detectors.base import Detector, TextError
from monitor.nearest import hint, nearest
from monitor.rules.document import found
from monitor.rules.model import Unit
from monitor.rules.spans import LONGEST, parse_span

_SPANS = {unit.value: unit for unit in Unit}
_WRITTEN = {
    Unit.STEPS: "steps: write '100 steps' or 100",
    Unit.POINTS: "points: write '100 points' or 100",
    Unit.SECONDS: "time: write '90s', '5m', '1h30m' or a number of seconds",
}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a detector."""

    name: str
    kind: type
    default: object
    optional: bool
    """Whether ``null`` is a value."""
    unit: Unit | None
    choices: tuple[str, ...]
    doc: str

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is dataclasses.MISSING

    def read(self, value: object) -> object:
        """The value as the detector wants it; ValueError says what is wrong."""
        if value is None and self.optional:
            return None
        if self.choices:
            return self._choice(value)
        if self.kind is bool:
            return self._truth(value)
        if self.kind is str:
            if not isinstance(value, str):
                raise ValueError(f"{self.name!r} expects text, found {found(value)}")
            return value
        if self.unit is not None and isinstance(value, str):
            return self._span(value, self.unit)
        return self._number(value)

    def _choice(self, value: object) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        listed = ", ".join(self.choices)
        ask = (
            hint(value, self.choices, "one of") if isinstance(value, str) else f": one of {listed}"
        )
        raise ValueError(f"{self.name!r} cannot be {found(value)}{ask}")

    def _truth(self, value: object) -> bool:
        if not isinstance(value, bool):
            message = f"{self.name!r} expects true or false, found {found(value)}"
            raise ValueError(message)  # noqa: TRY004 - of the file, not of code
        return value

    def _span(self, value: str, unit: Unit) -> object:
        try:
            span = parse_span(value)
        except ValueError as error:
            if not value.strip().isdigit():
                raise ValueError(f"{self.name!r} counts {_WRITTEN[unit]}; {error}") from None
            return self._number(int(value))
        if span.unit is not unit and span.amount:
            raise ValueError(f"{self.name!r} counts {_WRITTEN[unit]}, not {value!r}")
        return self._number(span.amount)

    def _number(self, value: object) -> int | float:
        wanted = "a whole number" if self.kind is int else "a number"
        if self.unit is not None:
            wanted = f"a number of {self.unit.value}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            message = f"{self.name!r} expects {wanted}, found {found(value)}"
            raise ValueError(message)  # noqa: TRY004 - of the file, not of code
        if math.isnan(value) or (abs(value) > LONGEST and self.kind is int):
            raise ValueError(f"{self.name!r} expects {wanted}, {found(value)} is out of range")
        if self.kind is int:
            if not float(value).is_integer():
                raise ValueError(f"{self.name!r} expects a whole number, found {found(value)}")
            return int(value)
        try:
            return float(value)
        except OverflowError:
            message = f"{self.name!r} expects {wanted}, {found(value)} is out of range"
            raise ValueError(message) from None


@lru_cache(maxsize=256)
def params_of(kind: type) -> Mapping[str, Param]:
    """The parameters of a detector class, in the order of its fields."""
    hints = get_type_hints(kind)
    return {
        f.name: _param(f, hints[f.name]) for f in dataclasses.fields(cast("Any", kind)) if f.init
    }


def _param(entry: dataclasses.Field[Any], annotation: Any) -> Param:
    alternatives = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    optional = NoneType in alternatives
    rest = [a for a in alternatives if a is not NoneType] or [annotation]
    chosen = rest[0] if len(rest) == 1 else float
    choices = tuple(get_args(chosen)) if get_origin(chosen) is Literal else ()
    kind = str if choices else chosen
    if kind not in (bool, int, float, str):
        raise TypeError(f"parameter {entry.name!r}: rule files cannot hold a {annotation}")
    return Param(
        name=entry.name,
        kind=kind,
        default=entry.default,
        optional=optional,
        unit=_SPANS.get(entry.metadata.get("unit", "")) if kind in (int, float) else None,
        choices=choices or tuple(entry.metadata.get("choices", ())),
        doc=str(entry.metadata.get("doc", "")),
    )


def build(kind: type, values: Mapping[str, object]) -> Detector:
    """The detector; only after :func:`complaints` had none."""
    params = params_of(kind)
    read = {name: params[name].read(value) for name, value in values.items()}
    return cast("Detector", kind(**read))


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with the parameters of a detector."""

    param: str | None
    """None: all of them."""
    message: str
    key: bool = False
    """Whether it is the parameter's name that is wrong."""
    offset: int | None = None
    """Where in the parameter's text, if it can be told."""


def complaints(name: str, kind: type, values: Mapping[str, object]) -> Iterator[Complaint]:
    """All that is wrong with the parameters of detector ``name``."""
    params = params_of(kind)
    read: dict[str, object] = {}
    for key, value in values.items():
        if key not in params:
            there = f"{name} has"
            message = f"unknown parameter {key!r} of {name}" + hint(key, params, there)
            yield Complaint(key, message, key=True)
            continue
        try:
            read[key] = params[key].read(value)
        except ValueError as error:
            yield Complaint(key, str(error))
    misspelt = {nearest(key, params) for key in values if key not in params}
    needed = {p.name for p in params.values() if p.required}
    missing = sorted(needed - values.keys() - misspelt)
    for key in missing:
        yield Complaint(None, f"{name} needs {key!r}: {params[key].doc}")
    if not needed <= read.keys():
        return
    # What could be read is tried even if the rest could not: the detector's own checks.
    try:
        kind(**read)
    except TextError as error:
        yield Complaint(error.field, error.message, offset=error.offset)
    except (ValueError, ArithmeticError) as error:
        culprit, colon, rest = str(error).partition(": ")
        if colon and culprit in read:
            message = f"{culprit!r} must be {rest}, found {found(values[culprit])}"
            yield Complaint(culprit, message)
        elif len(read) == len(values):
            yield Complaint(None, str(error))
