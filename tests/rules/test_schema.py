"""The JSON schema is generated, and what is shipped is what is generated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from monitor.detectors import DETECTORS
from monitor.rules import default_path, json_schema
from monitor.rules.params import params_of
from monitor.rules.spans import PATTERN
from tests.rules.fakes import FAKES


def test_the_shipped_schema_is_the_generated_one() -> None:
    shipped = (default_path().parent / "rules.schema.json").read_text()
    again = "run: make docs"
    assert shipped == json.dumps(json_schema(), indent=2) + "\n", again


def then(schema: dict[str, Any], name: str) -> dict[str, Any]:
    for branch in schema["$defs"]["RuleSection"]["allOf"]:
        if branch["if"]["properties"]["detect"]["const"] == name:
            found: dict[str, Any] = branch["then"]["properties"]
            return found
    raise KeyError(name)


def test_every_detector_and_parameter_is_in_it() -> None:
    schema = json_schema()
    rule = schema["$defs"]["RuleSection"]
    assert rule["properties"]["detect"]["enum"] == list(DETECTORS)
    for name, kind in DETECTORS.items():
        params = then(schema, name)["params"]
        assert list(params["properties"]) == list(params_of(kind))
        assert params["additionalProperties"] is False


def test_parameters_have_type_unit_default_and_doc() -> None:
    params = then(json_schema(FAKES), "above")["params"]["properties"]
    assert params["limit"] == {"type": "number", "description": "the limit", "default": 1.0}
    assert params["side"]["enum"] == ["up", "down"]
    assert {"type": "null"} in params["cap"]["anyOf"]
    steps = params["within"]["anyOf"][1]["pattern"]
    assert re.search(steps, "5 steps")
    assert not re.search(steps, "5m")


def test_match_keys_are_those_that_make_sense() -> None:
    schema = json_schema(FAKES)
    assert then(schema, "silent")["match"]["propertyNames"]["enum"] == ["run"]
    assert "layer" in then(schema, "small")["match"]["propertyNames"]["enum"]


def test_keys_are_those_of_the_file() -> None:
    schema = json_schema()
    assert schema["required"] == ["version", "groups"]
    rule = schema["$defs"]["RuleSection"]
    assert rule["required"] == ["alert", "detect"]
    assert {"for", "keep_firing_for"} < set(rule["properties"])
    assert rule["additionalProperties"] is False


def test_the_pattern_of_spans_accepts_what_is_read() -> None:
    for text in ("0", "50 steps", "1 step", "5m", "1h30m"):
        assert re.search(PATTERN, text)
    for text in ("", "50", "5 stepz", "30m1h"):
        assert not re.search(PATTERN, text)


def test_the_default_rules_name_the_schema() -> None:
    first = Path(default_path()).read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./rules.schema.json"
