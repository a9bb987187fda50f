"""``monitor rules test``: cases that come out as expected, those that do not, mistakes."""

# ruff: noqa: E501 - a message is read in one piece

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.rules import RulesInvalid
from monitor.ruletests import load_tests, run
from tests.processes import run as command

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
RULES = """\
version: 1
groups:
  - name: g
    rules:
      - {alert: High, detect: threshold, match: {tag: loss}, params: {above: 5}}
      - {alert: Silent, detect: stalled, labels: {severity: critical}}
"""


def failures(tmp_path: Path, body: str) -> list[str]:
    """What is said of the cases; they begin in line 3."""
    (tmp_path / "rules.yaml").write_text(RULES)
    file = tmp_path / "tests.yaml"
    file.write_text("rule_files: [rules.yaml]\ntests:\n" + body)
    tests = load_tests(file)
    return [
        f"{failure.line}:{failure.column}: {failure.message}"
        for case in tests.cases
        for failure in run(case, tests.rules)
    ]


def case(alerts: str, values: str = "1x9 9x9 1x9", more: str = "") -> str:
    return f"  - name: n\n    series:\n      - {{tag: loss, values: {values}}}\n{more}    alerts: [{alerts}]\n"


@pytest.mark.parametrize(
    ("alerts", "said"),
    {
        "{alert: High}": [],
        "{alert: High, fired_step: 10, resolved_step: 20}": [],
        "{alert: High, fired_step: 12, within: 2 steps}": [],
        "{alert: High, resolved_step: 18, within: 2}": [],
        "{alert: High, severity: warning, subject: loss}": [],
        "{alert: High, fired_step: 13, within: 2 steps}": ["6:14: High fired at step 10, expected 13 within 2"],
        "{alert: High, resolved_step: null}": ["6:14: High resolved at step 20, expected to fire to the end"],
        "{alert: High, resolved_step: 19}": ["6:14: High resolved at step 20, expected to resolve at 19"],
        "{alert: High, severity: info}": ["6:14: High is warning, expected info"],
        "{alert: High, subject: x}": ["6:14: High is about loss, expected x"],
        "{alert: High}, {alert: High}": ["6:29: High did not fire; fired: nothing"],
        "": ["3:5: High fired at step 10, unexpected: run: 9 at step 10, more than 5"],
    }.items(),
)  # fmt: skip
def test_alerts_are_compared(tmp_path: Path, alerts: str, said: list[str]) -> None:
    assert failures(tmp_path, case(alerts)) == said


def test_an_alert_that_does_not_fire(tmp_path: Path) -> None:
    said = ["6:14: Silent did not fire; fired: High at step 10"]
    assert failures(tmp_path, case("{alert: Silent}, {alert: High}")) == said


def test_an_alert_that_fires_to_the_end(tmp_path: Path) -> None:
    assert failures(tmp_path, case("{alert: High, resolved_step: null}", "9x9")) == []
    said = ["6:14: High fires to the end, expected to resolve at 5"]
    assert failures(tmp_path, case("{alert: High, resolved_step: 5}", "9x9")) == said


def test_what_is_ignored_may_fire(tmp_path: Path) -> None:
    assert failures(tmp_path, case("", more="    ignore: High\n")) == []


def test_two_episodes_are_told_apart_by_what_fits(tmp_path: Path) -> None:
    both = "{alert: High, fired_step: 4}, {alert: High, fired_step: 1}"
    assert failures(tmp_path, case(both, "1 9 1 1 9 1")) == []


def test_silence_after_the_last_point(tmp_path: Path) -> None:
    expected = "{alert: Silent, severity: critical}"
    assert failures(tmp_path, case(expected, "1x9", "    silence: 1h\n")) == []
    assert len(failures(tmp_path, case(expected, "1x9", "    silence: 1s\n"))) == 1


def test_missing_points_and_steps_between(tmp_path: Path) -> None:
    body = "  - name: n\n    series:\n      - {tag: loss, values: _x3 9 1, every: 10 steps, first_step: 100}\n    alerts: [{alert: High, fired_step: 130, resolved_step: 140}]\n"
    assert failures(tmp_path, body) == []


def mistakes(tmp_path: Path, body: str) -> list[str]:
    with pytest.raises(RulesInvalid) as caught:
        failures(tmp_path, body)
    return [str(error).rpartition("yaml:")[2] for error in caught.value.errors]


@pytest.mark.parametrize(
    ("body", "said"),
    {
        case("{alert: Hihg}"): "6:22: no rule is called 'Hihg'; did you mean 'High'? (there are: High, Silent)",
        case("", more="    ignore: [High, Silentt]\n"): "6:20: no rule is called 'Silentt'; did you mean 'Silent'? (there are: High, Silent)",
        case("", "1 2y"): "5:31: '2y' is no value: write 1, nan, 2x10, 2-0.1x10, 2*0.9x10, 2-0.1~0.5x10, _ or _x10",
        case("{alert: High, fired: 3}"): "6:28: unknown key 'fired'; did you mean 'fired_step'? (known here: alert, fired_step, resolved_step, within, severity, subject)",
        case("{alert: High, fired_step: x}"): "6:40: expected a step, a whole number, found 'x'",
        case("{alert: High, within: 5m}"): "6:36: expected steps, e.g. '5 steps', found '5m'",
        case("{alert: High, severity: bad}"): "6:38: expected one of info, warning, critical, found 'bad'",
        case("", more="    silence: 5 steps\n"): "6:14: expected a time such as '1s' or '5m', found '5 steps'",
        "  - name: n\n    alerts: []\n": "3:5: 'series' is missing",
        "  - {name: n, series: [], alerts: []}\n": "3:23: no points: write at least one",
        case("", "_x3"): "5:7: no points: write at least one",
        "  - {name: n, series: [{tag: a}], alerts: []}\n": "3:24: expected 'tag' and 'values', or 'stat' and 'layers'",
        "  - {name: n, series: [{tag: a, values: 1}, {tag: a, values: 1}], alerts: []}\n": "3:23: a series is there twice",
        "  - {name: n, series: [{stat: a, layers: {x: 1, y: 1x3}}], alerts: []}\n": "3:42: all layers need equally many values",
    }.items(),
)  # fmt: skip
def test_mistakes_are_told_where_they_stand(tmp_path: Path, body: str, said: str) -> None:
    assert mistakes(tmp_path, body) == [said]


def test_rule_files_that_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    file = tmp_path / "t.yaml"
    file.write_text("rule_files: [rules.yaml, rules.yaml]\ntests: []\n")
    with pytest.raises(RulesInvalid) as caught:
        load_tests(file)
    assert caught.value.errors[0].message == "'High' is in an earlier rule file already"


def test_without_rule_files_the_default_rules_are_tested(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "tests:\n  - name: n\n    series: [{tag: train/loss, values: 2-0.01x30 nanx10}]\n"
        "    alerts: [{alert: NaNWithinFirstSteps, fired_step: 31, severity: critical}]\n"
    )
    tests = load_tests(file)
    assert [run(case, tests.rules) for case in tests.cases] == [()]


def test_the_examples_of_the_documentation_pass() -> None:
    result = command("rules", "test", EXAMPLES / "tests.yaml")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "5 of 5 tests passed"


def test_the_command_says_what_failed_and_where(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    file = tmp_path / "tests.yaml"
    file.write_text("rule_files: rules.yaml\ntests:\n" + case("{alert: High, fired_step: 3}"))
    result = command("rules", "test", file)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "FAILED  n",
        f"  {file}:6:14: High fired at step 10, expected 3",
        "0 of 1 tests passed",
    ]


def test_unusable_tests(tmp_path: Path) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text("rule_files: [none.yaml]\ntests: []\n")
    result = command("rules", "test", file)
    assert (result.returncode, result.stdout) == (2, "")
    assert "none.yaml: No such file or directory" in result.stderr
    file.write_text("tests: 5\n")
    result = command("rules", "test", file)
    assert (result.returncode, "tests.yaml:1:8: expected a list" in result.stderr) == (2, True)
