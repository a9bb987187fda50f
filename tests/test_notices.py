"""The words of alerts, and which of them are news."""

from __future__ import annotations

import json
import math

import pytest

from monitor.alerts import Alert, Moment
from monitor.notices import document, identity, news, number
from monitor.points import Evidence
from tests.toys import rule


def alert(
    name: str = "Toy", fired: int = 5, resolved: int | None = None, value: float = 2.5
) -> Alert:
    end = None if resolved is None else Moment(resolved, resolved, float(resolved))
    evidence = Evidence(value, "the loss was 2.5", onset_step=4)
    return Alert(rule(name), "run", "loss", 4, Moment(fired, fired, float(fired)), end, evidence)


def told(before: list[Alert], after: list[Alert]) -> list[tuple[str, int, bool]]:
    known = {identity(a): document(a) if a.active else None for a in before}
    return [(n.document["alert"], n.document["fired_step"], n.resolved) for n in news(known, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [alert()], [("Toy", 5, False)]),
        ([alert()], [alert()], []),
        ([alert()], [alert(resolved=9)], [("Toy", 5, True)]),
        ([alert(resolved=9)], [alert(resolved=9)], []),
        ([], [alert(resolved=9)], [("Toy", 5, False), ("Toy", 5, True)]),
        ([alert(resolved=9)], [alert(resolved=9), alert(fired=12)], [("Toy", 12, False)]),
        # Another alert has taken its place, or its rule is there no more.
        ([alert()], [alert("Other")], [("Other", 5, False), ("Toy", 5, True)]),
        ([alert(resolved=9)], [], []),
        # A second writer, read later, shows that it was not over.
        ([alert(resolved=9)], [alert()], [("Toy", 5, False)]),
    ],
)
def test_news(
    before: list[Alert], after: list[Alert], expected: list[tuple[str, int, bool]]
) -> None:
    assert told(before, after) == expected


def test_a_document_has_the_fields_of_the_contract() -> None:
    found = document(alert(resolved=9))
    assert found == {
        "run": "run",
        "alert": "Toy",
        "detector": "mean_above",
        "severity": "warning",
        "subject": "loss",
        "onset_step": 4,
        "fired_step": 5,
        "fired_wall_time": 5.0,
        "resolved_step": 9,
        "value": 2.5,
        "summary": "run: the loss was 2.5",
        "advice": "Look at it.",
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_nan(value: float) -> None:
    found = json.loads(json.dumps(document(alert(value=value)), allow_nan=False))
    assert found["value"] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(math.nan, "NaN"), (math.inf, "Inf"), (-math.inf, "-Inf"), (0.000123456, "0.0001235")],
)
def test_numbers(value: float, expected: str) -> None:
    assert number(value) == expected
