"""``monitor check`` and ``monitor rules``: what they print and how they exit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest

from monitor.cli import main
from tests.events import falling, nan_at, write_run
from tests.processes import run

FIELDS = {
    "run", "alert", "detector", "severity", "subject", "onset_step", "fired_step",
    "fired_wall_time", "resolved_step", "value", "summary", "advice",
}  # fmt: skip


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("logs")
    write_run(root / "well", {"train/loss": falling()})
    write_run(root / "sick", {"train/loss": nan_at(40), "train/grad_norm": nan_at(41)})
    return root


def test_the_options_are_those_of_the_contract() -> None:
    def options(name: str) -> set[str]:
        command = main.commands[name]
        return {o for p in command.params if isinstance(p, click.Option) for o in p.opts}

    assert set(main.commands) == {"watch", "check", "rules", "demo", "plot", "top"}
    assert options("watch") == {
        "--rules", "--listen", "--state-dir", "--slack", "--alertmanager", "--external-url",
        "--log-format", "--web-config", "--annotate", "--exit-when-idle",
    }  # fmt: skip
    assert options("check") == {"--rules", "--format", "--fail-on", "--explain"}
    assert options("demo") == {"--keep"}
    assert options("top") == {"--rules"}
    assert options("plot") == {"--rules", "--run", "--tag", "--alert", "-o", "--output", "--format"}


def test_json_is_one_array_with_the_fields_of_the_contract(logs: Path) -> None:
    result = run("check", logs, "--format", "json")
    (alert,) = json.loads(result.stdout)  # a NaN run is one alert
    assert set(alert) == FIELDS
    assert (alert["run"], alert["alert"], alert["detector"]) == (
        "sick", "NaNWithinFirstSteps", "nonfinite",
    )  # fmt: skip
    assert (alert["subject"], alert["fired_step"], alert["resolved_step"]) == (
        "train/loss",
        40,
        None,
    )
    assert "40" in alert["summary"]
    assert len(alert["advice"]) > 40


@pytest.mark.parametrize(
    ("run_name", "fail_on", "status"),
    [("sick", "warning", 1), ("sick", "critical", 1), ("well", "info", 0)],
)
def test_the_exit_status_follows_the_severity(
    logs: Path, run_name: str, fail_on: str, status: int
) -> None:
    assert run("check", logs / run_name, "--fail-on", fail_on).returncode == status


def test_the_run_of_the_log_directory_itself_is_a_dot(logs: Path) -> None:
    (alert,) = json.loads(run("check", logs / "sick", "--format", "json").stdout)
    assert alert["run"] == "."


def test_text_names_the_run_the_step_and_what_to_try(logs: Path) -> None:
    text = run("check", logs).stdout
    for word in ("critical", "NaNWithinFirstSteps", "sick", "step 40", "2 runs read"):
        assert word in text


@pytest.mark.parametrize(
    ("change", "place", "hint"),
    [
        (("detect:", "detects:"), "6:9", "detect"),
        (("nonfinite", "nonfinit"), "6:17", "nonfinite"),
        (("100 steps", "100 stepz"), "7:26", "steps"),
        (("within", "withing"), "7:18", "within"),
    ],
)
def test_a_typo_in_the_rules_is_shown_where_it_stands(
    tmp_path: Path, change: tuple[str, str], place: str, hint: str
) -> None:
    text = (
        "version: 1\ngroups:\n  - name: g\n    rules:\n      - alert: A\n"
        "        detect: nonfinite\n        params: {within: 100 steps}\n"
    )
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    assert run("rules", "check", file).returncode == 0
    file.write_text(text.replace(*change))
    for result in (run("rules", "check", file), run("check", tmp_path, "--rules", file)):
        assert result.returncode == 2
        assert f"rules.yaml:{place}: " in result.stderr
        assert hint in result.stderr
        assert "Traceback" not in result.stderr


def test_the_default_rules_are_listed() -> None:
    result = run("rules", "list")
    assert result.returncode == 0
    assert "NaNWithinFirstSteps" in result.stdout


def test_the_schema_is_json() -> None:
    assert json.loads(run("rules", "schema").stdout)["type"] == "object"


def test_missing_things_are_named(tmp_path: Path) -> None:
    nothing = run("check", tmp_path / "nothing")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert f"no such directory: {tmp_path / 'nothing'}" in nothing.stderr
    rules = run("check", tmp_path, "--rules", tmp_path / "none.yaml")
    assert rules.returncode == 2
    assert "none.yaml" in rules.stderr


def test_an_empty_directory_is_healthy(tmp_path: Path) -> None:
    result = run("check", tmp_path, "--format", "json")
    assert (result.returncode, json.loads(result.stdout)) == (0, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_without_permission_is_named_and_costs_nothing_else(
    logs: Path, tmp_path: Path
) -> None:
    write_run(tmp_path / "sick", {"train/loss": nan_at(40)})
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    result = run("check", tmp_path, "--format", "json")
    assert len(json.loads(result.stdout)) == 1
    assert str(locked) in result.stderr
