"""The rules that come with the monitor, and loading of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.rules import RuleSet, RulesInvalid, Severity, load, render
from monitor.rules.templates import VARIABLES


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load(None)


def test_the_alerts_and_their_severities(rules: RuleSet) -> None:
    severities = {rule.alert: rule.severity for rule in rules.rules}
    assert severities["NaNWithinFirstSteps"] is Severity.CRITICAL
    assert severities["LossBecameNonFinite"] is Severity.CRITICAL
    assert severities["LossDiverging"] is Severity.CRITICAL
    assert severities["LossPlateau"] is Severity.INFO
    for alert in (
        "GradientNonFinite", "LossOscillating", "VanishingGradients", "ExplodingGradients",
        "RunStalled",
    ):  # fmt: skip
        assert severities[alert] is Severity.WARNING


def test_every_rule_says_what_to_try(rules: RuleSet) -> None:
    for rule in rules.rules:
        assert "{{ seen }}" in rule.summary
        assert "{{ run }}" in rule.summary
        said = render(rule.advice, dict.fromkeys(VARIABLES, "x"))
        assert 2 <= said.count(". ") + said.count("; ") + 1 <= 6
        assert "{{" not in said


def hidden_by(rules: RuleSet, source: str) -> set[str]:
    """Alerts that are not shown while ``source`` fires."""
    own = {
        r.alert: {**r.labels, "alert": r.alert, "detector": r.detector.name} for r in rules.rules
    }
    return {
        alert
        for alert, labels in own.items()
        for i in rules.inhibitions
        if alert != source
        and all(own[source].get(name) in values for name, values in i.source.items())
        and all(labels.get(name) in values for name, values in i.target.items())
    }


def test_one_fault_one_alert(rules: RuleSet) -> None:
    everything = {rule.alert for rule in rules.rules}
    # Which layer it was is no other fault, and more than the loss can say.
    nan = {"NaNWithinFirstSteps", "ActivationsNonFinite"}
    assert hidden_by(rules, "NaNWithinFirstSteps") == everything - nan
    assert hidden_by(rules, "LossBecameNonFinite") == everything - nan - {"LossBecameNonFinite"}
    assert hidden_by(rules, "LossDiverging") == {
        "LossRising", "LossOscillating", "LossPlateau", "ExplodingGradients", "LossSpikes",
        "LossSpikeNotRecovered", "LossSpike", "LearningRateDecayedEarly", "NotLearning",
        "LearningSlowly", "Overfitting",
        "UnchangedWeights", "UpdatesTooLarge", "UpdatesTooSmall",
    }  # fmt: skip
    assert hidden_by(rules, "LossOscillating") == {
        "LossRising", "LossPlateau", "LossSpikes", "LossSpikeNotRecovered", "LossSpike",
        "NotLearning", "Overfitting",
    }  # fmt: skip
    assert hidden_by(rules, "RunStalled") == set()


def test_no_alert_is_hidden_by_its_own_consequence(rules: RuleSet) -> None:
    for rule in rules.rules:
        for hidden in hidden_by(rules, rule.alert):
            assert rule.alert not in hidden_by(rules, hidden)


def test_a_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("\ufeffversion: 1\ngroups: []\n", encoding="utf-8")
    assert load(file).rules == ()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.yaml")


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"version: 1\n# \xff\n")
    with pytest.raises(RulesInvalid) as caught:
        load(file)
    assert str(caught.value) == f"{file}:2:3: not UTF-8: byte 0xff"
