"""What people see at a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from monitor.engine import Engine
from monitor.rules import Severity
from monitor.terminal import LiveScreen
from monitor.terminal.tables import (
    MANY_RUNS,
    RUNS_SHOWN,
    Said,
    Summary,
    age_text,
    print_alerts,
    run_table,
)
from monitor.views import RunView
from tests.toys import batch, rule, rule_set, scalar_points

TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")


def view(run: str, *values: float) -> RunView:
    engine = Engine(rule_set(rule("Sick", severity=Severity.CRITICAL)))
    engine.feed(batch(scalar_points(values, run=run)))
    return engine.view(run)


def drawn(what: object, width: int = 100, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, no_color=True)
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
    assert "[red]run[/red]" in drawn(Said(sick.alerts[0]))


def test_check_says_how_many() -> None:
    console = Console(file=io.StringIO(), width=100)
    print_alerts(console, view("sick", 1.0, -1.0).alerts, runs=3)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "resolved at step 1" in text
    assert "3 runs read; 1 alert, 0 of them still firing." in text


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


def archive() -> Summary:
    sick = [view(f"run{i}", 1.0) for i in range(5)]
    return Summary([alert for one in sick for alert in one.alerts], runs=20)


def test_an_archive_is_summed_up_by_rule() -> None:
    text = TERMINAL_CODES.sub("", drawn(archive(), 120, terminal=True))
    (line,) = (row for row in text.splitlines() if "25 %" in row)
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "Sick", "critical", "5", "25 %", "5", "0", "run0, run1, run2 and 2 more",
    ]  # fmt: skip


def test_without_a_terminal_the_sum_is_lines() -> None:
    assert drawn(archive(), 200) == (
        "alert: Sick  severity: critical  runs: 5  of all: 25 %  times: 5  at step: 0  "
        "where: run0, run1, run2 and 2 more\n"
    )


@pytest.mark.parametrize("width", [30, 48, 60, 100])
def test_whatever_the_width_names_and_counts_are_whole(width: int) -> None:
    table = TERMINAL_CODES.sub("", drawn(archive(), width, terminal=True))
    assert max(map(len, table.splitlines())) <= width
    assert "│ Sick " in table
    assert "…" not in table


def test_what_belongs_to_an_alert_is_indented_at_a_terminal() -> None:
    said = Said(view("a/long/name/that/takes/room", 1.0).alerts[0])
    assert drawn(said, 200).splitlines()[1].startswith(" " * 9)
    lines = TERMINAL_CODES.sub("", drawn(said, 70, terminal=True)).splitlines()
    assert len(lines) > 3
    assert all(line.startswith(" " * 9) for line in lines[1:] if line.strip())


def test_names_are_in_the_order_of_their_numbers() -> None:
    text = drawn(run_table([view(f"lr{i}", -1.0) for i in (10, 9, 1)], now=10.0))
    assert text.index("lr1 ") < text.index("lr9 ") < text.index("lr10 ")


def test_few_runs_need_no_summary() -> None:
    console = Console(file=io.StringIO(), width=120)
    print_alerts(console, view("run", 1.0).alerts, runs=MANY_RUNS - 1)
    assert isinstance(console.file, io.StringIO)
    assert "of all" not in console.file.getvalue()
