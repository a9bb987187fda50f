"""What a rule file must mean: names that exist, parameters that fit, patterns that can match.

These checks look at the values as YAML gave them, whatever their shape, so that they find what
they can even where :mod:`monitor.rules.document` has something to say too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from monitor.nearest import hint
from monitor.rules import params
from monitor.rules.document import LABEL, ROLE, SEVERITIES, found
from monitor.rules.locate import Document, Loc
from monitor.rules.patterns import parse_pattern
from monitor.rules.roles import BUILTIN
from monitor.rules.templates import VARIABLES, mistakes

Detectors = Mapping[str, type]

RESERVED = ("run", "alert", "alertname", "detector")
"""Labels that the monitor or Prometheus gives every alert."""

LOOKS = {
    "run": "listens to whole runs: only 'run' makes sense",
    "layers": "looks at layers: choose them with stat, layer or layer_kind",
    "series": "looks at scalar series: choose them with role or tag",
    "either": "looks at scalars, chosen with role or tag, or at layers, with stat",
}

_SCALAR = ("role", "tag", "run")
_LAYERED = ("stat", "layer", "layer_kind", "run")
_EITHER = ("role", "tag", "stat", "layer", "layer_kind", "run")


def check(document: Document, detectors: Detectors) -> None:
    """Adds to the document's errors all that is wrong with what it means."""
    roles = {*BUILTIN, *_mapping(document.at(("roles",)))}
    _check_roles(document)
    alerts: dict[str, Loc] = {}
    labels: dict[str, set[str]] = {"detector": set(detectors), "severity": set(SEVERITIES)}
    for loc, rule in _rules(document):
        _check_name(document, (*loc, "alert"), alerts)
        for name in _check_labels(document, (*loc, "labels")):
            if name != "severity":
                labels.setdefault(name, set()).add(str(document.at((*loc, "labels", name))))
        kind = _check_detector(document, (*loc, "detect"), detectors)
        _check_templates(document, (*loc, "annotations"), kind)
        if kind is not None:
            name = str(rule["detect"])
            _check_params(document, (*loc, "params"), name, kind, roles)
            _check_match(document, (*loc, "match"), name, kind)
        _check_known_roles(document, (*loc, "match", "role"), roles)
    labels["alert"] = set(alerts)
    _check_inhibitions(document, labels)


def eye(kind: type) -> str:
    """What a detector looks at: "run", "layers", "series" or "either" of the two."""
    if hasattr(kind, "listen"):
        return "run"
    layered = getattr(kind, "layered", False)
    return "either" if layered is None else "layers" if layered else "series"


def match_keys(kind: type) -> tuple[str, ...]:
    """The keys of ``match`` that make sense for a detector."""
    return {"run": ("run",), "layers": _LAYERED, "series": _SCALAR, "either": _EITHER}[eye(kind)]


def _rules(document: Document) -> Iterator[tuple[Loc, Mapping[str, Any]]]:
    for g, group in enumerate(_list(document.at(("groups",)))):
        for r, rule in enumerate(_list(_mapping(group).get("rules"))):
            if isinstance(rule, dict):
                yield ("groups", g, "rules", r), rule


def _check_roles(document: Document) -> None:
    for name in _mapping(document.at(("roles",))):
        if not re.fullmatch(ROLE, name):
            message = f"{name!r} cannot be a role: write lower case letters, digits and _"
            document.error(("roles", name), message, key=True)


def _check_name(document: Document, loc: Loc, alerts: dict[str, Loc]) -> None:
    name = document.at(loc)
    if not isinstance(name, str):
        return
    if name in alerts:
        line, _ = document.values[alerts[name]]
        document.error(loc, f"alert {name!r} is there already, on line {line}")
    alerts.setdefault(name, loc)


def _check_labels(document: Document, loc: Loc) -> Iterator[str]:
    """Yields the names that are good."""
    for name, value in _mapping(document.at(loc)).items():
        if not re.fullmatch(LABEL, name) or name.startswith("__"):
            message = f"{name!r} cannot be a label: write letters, digits and _, no __ in front"
            document.error((*loc, name), message, key=True)
        elif name in RESERVED:
            message = f"label {name!r} is reserved: every alert has it already"
            document.error((*loc, name), message, key=True)
        else:
            yield name
        if not isinstance(value, str):
            continue
        if name == "severity" and value not in SEVERITIES:
            message = f"unknown severity {found(value)}" + hint(value, SEVERITIES, "one of")
            document.error((*loc, name), message)
        elif "{{" in value:
            message = f"label {name!r} is identity and cannot be a template: use annotations"
            document.error((*loc, name), message)


def _check_detector(document: Document, loc: Loc, detectors: Detectors) -> type | None:
    name = document.at(loc)
    if not isinstance(name, str) or not name.strip():
        return None
    if name not in detectors:
        message = f"unknown detector {found(name)}" + hint(name, detectors, "there are")
        document.error(loc, message)
    return detectors.get(name)


def _check_templates(document: Document, loc: Loc, kind: type | None) -> None:
    known = (*VARIABLES, *getattr(kind, "facts", ()))
    for name in ("summary", "advice"):
        template = document.at((*loc, name))
        if isinstance(template, str):
            for mistake in mistakes(template, known):
                document.error((*loc, name), mistake)


def _check_params(
    document: Document, loc: Loc, name: str, kind: type, roles: Collection[str]
) -> None:
    values = _mapping(document.at(loc))
    wrong = False
    for found_wrong in params.complaints(name, kind, values):
        wrong = True
        param = found_wrong.param
        place = loc if param is None else (*loc, param)
        document.error(place, found_wrong.message, found_wrong.key, found_wrong.offset)
    if wrong:
        return
    detector = params.build(kind, values)
    for word in getattr(detector, "words", ()):
        if word.text not in roles:
            message = f"no role is called {found(word.text)}"
            message += hint(word.text, sorted(roles), "there are")
            document.error((*loc, word.param), message, offset=word.offset)
    given = _mapping(document.at((*loc[:-1], "match")))
    if getattr(detector, "needs_match", False) and given.keys() <= {"run"}:
        message = f"'match' must say which series is judged: {name} {LOOKS['series']}"
        document.error((*loc[:-1], "match"), message)


def _check_match(document: Document, loc: Loc, name: str, kind: type) -> None:
    sensible = match_keys(kind)
    looks = LOOKS[eye(kind)]
    given = _mapping(document.at(loc))
    for key in given:
        if key in {*_SCALAR, *_LAYERED} and key not in sensible:
            message = f"{key!r} makes no sense here: {name} {looks}"
            document.error((*loc, key), message, key=True)
    if eye(kind) == "either":
        layers = given.keys() & {"stat", "layer", "layer_kind"}
        scalars = given.keys() & {"role", "tag"}
        if layers and scalars:
            message = f"{min(scalars)!r} and {min(layers)!r} exclude each other: {name} {looks}"
            document.error(loc, message)
        elif not layers and not scalars and not kind.default_match:  # type: ignore[attr-defined]
            message = f"'match' must say which series: {name} {looks}"
            document.error(loc, message)


def _check_known_roles(document: Document, loc: Loc, roles: set[str]) -> None:
    value = document.at(loc)
    many = isinstance(value, list)
    for i, text in enumerate(_list(value) if many else [value]):
        try:
            pattern = parse_pattern(text)
        except ValueError:
            continue  # told by the document's shape
        if not any(pattern.search(role) for role in roles):
            message = f"no role is called {found(text)}" + hint(
                str(text), sorted(roles), "there are"
            )
            document.error((*loc, i) if many else loc, message)


def _check_inhibitions(document: Document, labels: Mapping[str, set[str]]) -> None:
    for i, inhibition in enumerate(_list(document.at(("inhibit",)))):
        for side in ("source", "target"):
            loc: Loc = ("inhibit", i, side)
            matchers = _mapping(inhibition).get(side)
            if matchers == {}:
                document.error(loc, "an empty matcher would match every alert: say which")
            for name, value in _mapping(matchers).items():
                _check_matcher(document, (*loc, name), name, value, labels)
        equal = _mapping(inhibition).get("equal")
        many = isinstance(equal, list)
        for k, name in enumerate(_list(equal) if many else [equal]):
            if isinstance(name, str) and name not in labels and name != "run":
                message = f"no alert has a label {found(name)}" + hint(name, [*labels, "run"])
                document.error(("inhibit", i, "equal", *((k,) if many else ())), message)


def _check_matcher(
    document: Document, loc: Loc, name: str, value: object, labels: Mapping[str, set[str]]
) -> None:
    if name not in labels:
        document.error(loc, f"no alert has a label {name!r}" + hint(name, labels), key=True)
        return
    many = isinstance(value, list)
    for k, text in enumerate(_list(value) if many else [value]):
        if isinstance(text, str) and text not in labels[name]:
            known = sorted(labels[name])
            message = f"no alert has the {name} {found(text)}" + hint(text, known, "there are")
            document.error((*loc, k) if many else loc, message)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
