"""Files that others read, held against the schemas of those who read them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import DEPLOY, documents

COMPOSE = DEPLOY / "compose" / "compose.yaml"
BASE = DEPLOY / "kubernetes" / "base"
OPERATORS = {"PodMonitor": "podmonitor.yaml", "PrometheusRule": "prometheusrule.yaml"}
CUSTOM = [
    BASE / "podmonitor.yaml",
    BASE / "prometheusrule.yaml",
    DEPLOY / "kubernetes" / "jobset" / "training.yaml",
    DEPLOY / "kubernetes" / "pytorchjob" / "training.yaml",
]


def judged(path: Path) -> subprocess.CompletedProcess[str]:
    """What the compose specification's own schema, which the checker comes with, says of a file."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run(
        [*command, str(path)], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_compose_file_is_as_its_specification_says(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    done = judged(COMPOSE)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("read_only: true", "readonly: true"))
    done = judged(wrong)
    assert done.returncode == 1
    assert "readonly" in done.stdout


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_prometheus_operator_knows_every_field(kind: str) -> None:
    """By models that are made from its custom resource definitions."""
    v1 = pytest.importorskip("cloudcoil.models.prometheus_operator.v1")
    (document,) = documents(BASE / OPERATORS[kind])

    def understood(given: dict[str, Any]) -> Any:
        parsed = getattr(v1, kind).model_validate(given)
        return parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)

    assert understood(document) == document
    wrong = {**document, "spec": {**document["spec"], "spek": 1}}
    assert understood(wrong) != wrong, "what it does not know it leaves out"


CRDS = os.environ.get("MONITOR_TEST_CRDS")


@pytest.mark.skipif(CRDS is None, reason="MONITOR_TEST_CRDS names no directory of definitions")
@pytest.mark.parametrize("path", CUSTOM, ids=lambda path: path.parent.name + "/" + path.name)
def test_custom_resources_fit_their_definitions(path: Path) -> None:
    """Whatever definitions are in the directory, as their projects publish them."""
    jsonschema = pytest.importorskip("jsonschema")
    (document,) = documents(path)
    schema = _strict(_definition(document["apiVersion"], document["kind"]))
    schema["properties"]["metadata"] = {}
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(document)] == []
    wrong = {**document, "spec": {**document["spec"], "spek": 1}}
    assert ["spek" in error.message for error in validator.iter_errors(wrong)] == [True]


def _definition(api: str, kind: str) -> Any:
    group, version = api.split("/")
    for path in sorted(Path(CRDS or ".").glob("*.yaml")):
        for found in yaml.load_all(path.read_text(), yaml.CSafeLoader):
            spec = found["spec"]
            if (spec["group"], spec["names"]["kind"]) == (group, kind):
                (one,) = [each for each in spec["versions"] if each["name"] == version]
                return one["schema"]["openAPIV3Schema"]
    pytest.skip(f"no definition of {kind} in {CRDS}")


def _strict(schema: Any) -> Any:
    """As a cluster reads it: integers or strings where it says so, and no unknown fields."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(each) for name, each in schema.items()}
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    open_ended = "x-kubernetes-preserve-unknown-fields" in made
    if isinstance(made.get("properties"), dict) and not open_ended:
        made.setdefault("additionalProperties", False)
    return made
