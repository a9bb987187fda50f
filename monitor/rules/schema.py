"""The JSON schema of rule files, for editors: the document's models and the detectors' fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.detectors import DETECTORS
from monitor.rules.checks import RESERVED, match_keys
from monitor.rules.document import LABEL, ROLE, SEVERITIES, FileSection, Json
from monitor.rules.model import Unit
from monitor.rules.params import Param, params_of

_JSON = {bool: "boolean", int: "integer", float: "number", str: "string"}
_WRITTEN = {
    Unit.STEPS: r"^[0-9]+ *(steps?)?$",
    Unit.POINTS: r"^[0-9]+ *(points?)?$",
    Unit.SECONDS: r"^(?=[0-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
}


def json_schema(detectors: Mapping[str, type] = DETECTORS) -> Json:
    """The schema as plain JSON values."""
    schema = _without_titles(FileSection.model_json_schema())
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of the training health monitor",
        **schema,
    }
    schema["properties"]["roles"]["propertyNames"] = {"pattern": f"^{ROLE}$"}
    rule = schema["$defs"]["RuleSection"]
    rule["properties"]["detect"]["enum"] = list(detectors)
    rule["properties"]["labels"] |= {
        "propertyNames": {"pattern": f"^(?!__){LABEL}$", "not": {"enum": list(RESERVED)}},
        "properties": {"severity": {"enum": list(SEVERITIES), "default": "warning"}},
    }
    rule["allOf"] = [_detector(name, kind) for name, kind in detectors.items()]
    return schema


def _detector(name: str, kind: type) -> Json:
    """What a rule may say once it has chosen this detector."""
    required = [p.name for p in params_of(kind).values() if p.required]
    return {
        "if": {"properties": {"detect": {"const": name}}, "required": ["detect"]},
        "then": {
            "properties": {
                "params": {
                    "properties": {p.name: _param(p) for p in params_of(kind).values()},
                    "additionalProperties": False,
                    **({"required": required} if required else {}),
                },
                "match": {"propertyNames": {"enum": list(match_keys(kind))}},
            }
        },
    }


def _param(param: Param) -> Json:
    schema: Json
    if param.choices:
        schema = {"enum": list(param.choices)}
    elif param.unit is not None:
        number = {"type": _JSON[param.kind]}
        schema = {"anyOf": [number, {"type": "string", "pattern": _WRITTEN[param.unit]}]}
    else:
        schema = {"type": _JSON[param.kind]}
    if param.optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    unit = f" ({param.unit.value})" if param.unit is not None else ""
    schema["description"] = param.doc + unit
    if isinstance(param.default, bool | int | float | str):
        schema["default"] = param.default
    return schema


def _without_titles(value: Any) -> Any:
    """Drops pydantic's titles, which only repeat the names, and defaults that say "nothing"."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_titles(item)
        for key, item in value.items()
        if not (key == "title" and isinstance(item, str))
        and not (key == "default" and item in ([], {}, ""))
    }
