"""What people see at a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from monitor.engine import Engine
from monitor.rules import Severity
from monitor.terminal import LiveScreen
from monitor.terminal.tables import (
    MANY_RUNS,
    RUNS_SHOWN,
    age_text,
    alert_text,
    print_alerts,
    run_table,
)
from monitor.views import RunView
from tests.toys import batch, rule, rule_set, scalar_points


def view(run: str, *values: float) -> RunView:
    engine = Engine(rule_set(rule("Sick", severity=Severity.CRITICAL)))
    engine.feed(batch(scalar_points(values, run=run)))
    return engine.view(run)


def drawn(what: object, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_sick_runs_stand_first() -> None:
    text = drawn(run_table([view("a-well", -1.0), view("z-sick", 1.0)], now=10.0))
    assert text.index("z-sick") < text.index("a-well")
    assert "Sick" in text
    assert "ok" in text


def test_a_long_list_is_cut_and_says_so() -> None:
    text = drawn(run_table([view(f"run{i}", -1.0) for i in range(RUNS_SHOWN + 5)]))
    assert "and 5 more" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_fit_the_width(width: int) -> None:
    text = drawn(run_table([view("a/very/long/name/of/a/run" * 5, 1.0)]), width)
    assert max(map(len, text.splitlines())) <= width


def test_names_from_files_are_not_markup() -> None:
    sick = view("[red]run[/red]", 1.0)
    assert "[red]run[/red]" in drawn(run_table([sick]))
    assert "[red]run[/red]" in drawn(alert_text(sick.alerts[0]))


def test_check_says_how_many() -> None:
    console = Console(file=io.StringIO(), width=100)
    print_alerts(console, view("sick", 1.0, -1.0).alerts, runs=3)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "resolved at step 1" in text
    assert "3 runs read; 1 alerts, 0 of them still firing." in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59, "59 s"), (90, "2 min"), (7200, "2 h"), (2e5, "2 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_the_live_screen_shows_progress_and_then_the_runs() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with LiveScreen(console, "title") as screen:
        screen.progress(10, 90)
        screen.show([view("sick", 1.0)])
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "title" in text
    assert "sick" in text


def test_an_archive_is_summed_up_by_rule() -> None:
    sick = [view(f"run{i}", 1.0) for i in range(5)]
    alerts = [alert for one in sick for alert in one.alerts]
    console = Console(file=io.StringIO(), width=120)
    print_alerts(console, alerts, runs=20)
    assert isinstance(console.file, io.StringIO)
    (line,) = (row for row in console.file.getvalue().splitlines() if "25 %" in row)
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "Sick", "critical", "5", "25 %", "5", "0", "run0, run1, run2 and 2 more",
    ]  # fmt: skip


def test_few_runs_need_no_summary() -> None:
    console = Console(file=io.StringIO(), width=120)
    print_alerts(console, view("run", 1.0).alerts, runs=MANY_RUNS - 1)
    assert isinstance(console.file, io.StringIO)
    assert "of all" not in console.file.getvalue()
