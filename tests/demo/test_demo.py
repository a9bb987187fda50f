"""The demo, from beginning to end: real trainings, a real monitor, five verdicts."""

from __future__ import annotations

import pytest

from monitor.demo import EXPECTED, judge
from tests.processes import run

pytest.importorskip("torch")
pytest.importorskip("sklearn")


def test_all_five_verdicts_are_right() -> None:
    result = run("demo", patience=300.0)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All five verdicts are right" in result.stdout
    for name, alerts in EXPECTED.items():
        assert name in result.stdout
        assert all(alert in result.stdout for alert in alerts)


ALL_RIGHT = [
    {"run": name, "alert": alert} for name, alerts in EXPECTED.items() for alert in sorted(alerts)
]


def test_nothing_is_wrong_when_all_is_as_expected() -> None:
    assert judge(ALL_RIGHT) == []


@pytest.mark.parametrize("missing", ALL_RIGHT)
def test_a_missing_alert_is_named(missing: dict[str, str]) -> None:
    found = judge([alert for alert in ALL_RIGHT if alert != missing])
    assert found == [f"{missing['run']}: {missing['alert']} is missing"]


def test_an_alert_of_the_healthy_run_is_named() -> None:
    extra = {"run": "healthy", "alert": "LossPlateau"}
    assert judge([*ALL_RIGHT, extra]) == ["healthy: unexpected LossPlateau"]
