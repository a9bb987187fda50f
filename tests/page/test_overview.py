"""The list of runs: sorted, filtered, cut into pages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from monitor.page.overview import QueryError, Rows, query, trend
from monitor.views import RunView
from tests.page.views import alert, view

VIEWS = {
    v.run: v
    for v in (
        view("b/quiet", last_step=5, last_event=50.0),
        view("a/quiet", last_step=9, last_event=40.0),
        view("sick", alert("sick", "NaNNow", "critical"), last_step=1, last_event=10.0),
        view("ill", alert("ill", "Plateau", "info"), alert("ill", "Spikes", "warning")),
        view("over", alert("over", "Plateau", "info", resolved=True), last_event=60.0),
    )
}


def names(views: Mapping[str, RunView] = VIEWS, **given: str) -> list[str]:
    return [row["run"] for row in Rows().answer(views, query(given))["runs"]]


def test_the_worst_come_first_and_among_equals_the_one_heard_of_last() -> None:
    assert names() == ["sick", "ill", "over", "b/quiet", "a/quiet"]


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [("name", "a/quiet", "sick"), ("step", "ill", "a/quiet"), ("event", "ill", "over")],
)
def test_sorting_goes_both_ways(sort: str, first: str, last: str) -> None:
    found = names(sort=sort)
    assert (found[0], found[-1]) == (first, last)
    assert names(sort=sort, order="desc")[0] == last


def test_words_are_looked_for_in_names_and_in_what_fires() -> None:
    assert names(q="QUIET b") == ["b/quiet"]
    assert names(q="plateau") == ["ill"]  # that of "over" has resolved


def test_health_filters_and_its_counts_are_those_before_it() -> None:
    found = Rows().answer(VIEWS, query({"health": "critical,warning"}))
    assert [row["run"] for row in found["runs"]] == ["sick", "ill"]
    assert found["health"] == {"critical": 1, "warning": 1, "info": 0, "ok": 3}
    assert (found["total"], found["all"]) == (2, 5)


def test_pages() -> None:
    runs = {f"r{i:03}": view(f"r{i:03}") for i in range(101)}
    found = Rows().answer(runs, query({"sort": "name", "page": "3"}))
    assert ([row["run"] for row in found["runs"]], found["page"], found["pages"]) == (
        ["r100"],
        3,
        3,
    )
    assert Rows().answer(runs, query({"page": "99"}))["page"] == 3


@pytest.mark.parametrize(
    "given",
    [
        {"sort": "x"},
        {"order": "up"},
        {"health": "fine"},
        {"page": "0"},
        {"rows": "501"},
        {"page": "²"},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(given: dict[str, str]) -> None:
    with pytest.raises(QueryError, match=next(iter(given))):
        query(given)


def test_a_row_is_made_anew_only_for_a_new_view() -> None:
    rows = Rows()
    first = rows.answer(VIEWS, query({}))
    changed = {**VIEWS, "sick": view("sick", last_step=77)}
    second = rows.answer(changed, query({"sort": "step", "order": "desc"}))
    assert first["health"]["critical"] == 1
    assert (second["runs"][0]["run"], second["runs"][0]["last_step"]) == ("sick", 77)
    assert second["health"]["critical"] == 0


def test_an_alert_has_a_row_name_its_worst_first() -> None:
    (row,) = Rows().answer({"ill": VIEWS["ill"]}, query({}))["runs"]
    assert row["health"] == "warning"
    assert [a["alert"] for a in row["alerts"]] == ["Spikes", "Plateau"]


def test_a_trend_is_short_and_leaves_gaps_where_nothing_was_finite() -> None:
    values = np.linspace(2.0, 1.0, 256)
    values[200:] = np.nan
    shown = trend(values)
    assert len(shown) == 48
    assert shown[0] == pytest.approx(2.0, abs=0.02)
    assert shown[-1] is None
    assert trend(np.array([1.0, np.inf])) == [1.0, None]


def test_a_name_that_is_not_utf8_can_be_shown() -> None:
    assert names({"x": view("bad\udcff")}) == ["bad?"]
