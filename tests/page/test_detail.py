"""The document behind a run's page."""

from __future__ import annotations

import json

from monitor.page.detail import detail
from monitor.page.text import encoded
from monitor.rules.model import Roles
from tests.page.views import alert, view


def test_alerts_come_with_evidence_advice_and_what_the_rule_saw() -> None:
    run = view(
        "r",
        alert("r", "Old", "warning", resolved=True),
        alert("r", "Mild", "info"),
        alert("r", "Bad", "critical", step=40),
    )
    found = json.loads(encoded(detail(run, Roles())))
    assert [a["alert"] for a in found["firing"]] == ["Bad", "Mild"]
    assert [(a["alert"], a["resolved_step"]) for a in found["past"]] == [("Old", 30)]
    bad = found["firing"][0]
    assert (bad["saw_from"], bad["fired_step"], bad["value"]) == (3, 40, None)
    assert bad["facts"] == {"optimizer": "Adam"}
    assert bad["advice"]
    assert found["drawn"] == {"train_loss": ["loss"], "val_loss": [], "learning_rate": ["lr"]}


def test_series_with_a_role_come_before_the_limit_hits() -> None:
    run = view("r")
    many = {f"a{i:04}": 1.0 for i in range(1500)} | {"zz/loss": float("nan")}
    object.__setattr__(run, "scalars", many)
    found = detail(run, Roles())
    assert found["scalars"][0] == {"tag": "zz/loss", "roles": ["train_loss"], "last": None}
    assert (len(found["scalars"]), found["scalars_left_out"]) == (1000, 501)
