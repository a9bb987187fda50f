"""Runs and alerts as tables and paragraphs; whatever comes from files is shown as harmless text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.alerts import Alert
from monitor.notices import advice, number, summary
from monitor.rules import Severity
from monitor.rules.model import Rule
from monitor.terminal.text import Name, Sparkline, plain, plural
from monitor.views import RunView, by_name

COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red"}
RUNS_SHOWN = 30
SPARKLINE = 24
MANY_RUNS = 5
"""From so many runs on, a table sums up what fired."""
LOSS_FROM, EVENT_FROM, WHERE_FROM = 50, 64, 80
"""A terminal so wide has room for losses, for ages, and for all that sums up an archive."""
INDENT = 9
WHERE_SHOWN = 3
"""Runs that the table names for each rule."""


def run_table(views: Sequence[RunView], now: float | None = None, rows: int = RUNS_SHOWN) -> Runs:
    """One row per run, the sick ones first; at most ``rows`` of them."""
    now = time.time() if now is None else now
    shown = [(view, "") for view in sorted(views, key=by_health)[:rows]]
    return Runs(shown, now, len(views) - len(shown))


class Runs:
    """Runs with their styles as a table, with as many columns as there is room for. Renderable."""

    def __init__(self, rows: Sequence[tuple[RunView, str]], now: float, more: int = 0) -> None:
        """``more``: how many there are beside these."""
        self._rows = rows
        self._now = now
        self._more = more

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(expand=True)
        table.add_column("run", no_wrap=True, ratio=3)
        table.add_column("health", no_wrap=True, ratio=2, min_width=8)
        if options.max_width >= LOSS_FROM:
            table.add_column("loss", no_wrap=True, ratio=1, min_width=6, max_width=SPARKLINE)
        table.add_column("step", justify="right", no_wrap=True, min_width=5)
        if options.max_width >= EVENT_FROM:
            table.add_column("last event", justify="right", no_wrap=True, min_width=8)
        there = {str(column.header) for column in table.columns}
        for view, style in self._rows:
            cells = _cells(view, self._now)
            table.add_row(*(cell for name, cell in cells.items() if name in there), style=style)
        if self._more:
            table.add_row(Text(f"... and {self._more} more", style="dim"))
        yield table


def _cells(view: RunView, now: float) -> dict[str, RenderableType]:
    """Of each column: name, health, loss so far, step and age."""
    return {
        "run": Name(view.run),
        "health": health(view),
        "loss": Sparkline(view.trend),
        "step": str(view.last_step),
        "last event": Text(_age(view, now)),
    }


def _age(view: RunView, now: float) -> str:
    return f"{age_text(now - view.last_event)} ago" if view.last_event else "never"


def run_lines(views: Sequence[RunView]) -> Iterator[str]:
    """For programs that read lines: name, what fires or "ok", step, age; between tabs."""
    now = time.time()
    for view in sorted(views, key=by_health):
        cells = plain(view.run), health(view).plain, f"step {view.last_step}", _age(view, now)
        yield "\t".join(cells)


def by_health(view: RunView) -> tuple[object, ...]:
    """To sort by: the worst first, then by name."""
    return -worst(view), by_name(view.run)


def worst(view: RunView) -> int:
    """The greatest severity that fires; -1 if nothing does."""
    return max((alert.rule.severity for alert in view.alerts if alert.active), default=-1)


def health(view: RunView) -> Text:
    """Names of the alerts that fire, or "ok"."""
    active = [alert for alert in view.alerts if alert.active]
    if not active:
        return Text("ok", style="green")
    parts = [Text(alert.rule.alert, style=COLOURS[alert.rule.severity]) for alert in active]
    return Text(", ").join(parts)


def age_text(seconds: float) -> str:
    """A duration as people say it: 5 s, 3 min, 2 h, 4 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


class Said:
    """An alert for people: what was seen, what it usually means, what to try. Renderable.

    At a terminal what belongs to it is indented; elsewhere it is one line for each.
    """

    def __init__(self, alert: Alert) -> None:
        self._alert = alert

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        alert = self._alert
        yield _headline(alert)
        indent = INDENT if options.max_width >= LOSS_FROM else 2
        for said, style in ((summary(alert), ""), (advice(alert), "dim")):
            if console.is_terminal:
                yield Padding(Text(plain(said), style=style), (0, 0, 0, indent))
            else:
                yield Text(" " * INDENT + plain(said))
        yield Text("")


def _headline(alert: Alert) -> Text:
    colour = COLOURS[alert.rule.severity]
    text = Text()
    text.append(f"{alert.rule.severity.label:<{INDENT - 1}} ", style=colour)
    text.append(f"{alert.rule.alert}", style=colour)
    text.append(f"  {plain(alert.run)}", style="bold")
    text.append(f"  step {alert.fired.step}")
    if alert.resolved is not None:
        text.append(f", resolved at step {alert.resolved.step}", style="dim")
    text.append(f"  ({alert.rule.detector.name}, {number(alert.evidence.value)})", style="dim")
    return text


@dataclass(frozen=True, slots=True)
class _Fired:
    """One rule over an archive."""

    rule: Rule
    runs: tuple[str, ...]
    steps: tuple[int, ...]
    """Sorted."""

    def cells(self, of: int) -> dict[str, str]:
        """Of each column; ``of`` all runs that there are."""
        first, last, runs = self.steps[0], self.steps[-1], self.runs
        more = f" and {len(runs) - WHERE_SHOWN} more" if len(runs) > WHERE_SHOWN else ""
        return {
            "alert": self.rule.alert,
            "severity": self.rule.severity.label,
            "runs": str(len(runs)),
            "of all": f"{100 * len(runs) / of:.0f} %",
            "times": str(len(self.steps)),
            "at step": f"{first}" if first == last else f"{first} to {last}",
            "where": plain(", ".join(runs[:WHERE_SHOWN])) + more,
        }


def _by_rule(alerts: Sequence[Alert]) -> list[_Fired]:
    """Those that fired in the most runs first."""
    found: dict[str, list[Alert]] = {}
    for alert in alerts:
        found.setdefault(alert.rule.alert, []).append(alert)
    fired = [
        _Fired(
            each[0].rule,
            tuple(dict.fromkeys(alert.run for alert in each)),
            tuple(sorted(alert.fired.step for alert in each)),
        )
        for each in found.values()
    ]
    return sorted(fired, key=lambda one: -len(one.runs))


class Summary:
    """Which rules fired how often and where, over an archive of ``runs`` runs. Renderable."""

    def __init__(self, alerts: Sequence[Alert], runs: int) -> None:
        self._fired = _by_rule(alerts)
        self._runs = runs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not console.is_terminal:
            for one in self._fired:
                yield Text("  ".join(f"{k}: {v}" for k, v in one.cells(self._runs).items()))
            return
        left_out = {"severity", "of all", "times"} if options.max_width < WHERE_FROM else set()
        left_out |= {"where"} if options.max_width < LOSS_FROM else set()
        table = Table(expand=True)
        for name in ("alert", "severity", "runs", "of all", "times", "at step", "where"):
            if name not in left_out:
                side: JustifyMethod = "left" if name in {"alert", "severity", "where"} else "right"
                table.add_column(
                    name, justify=side, no_wrap=name != "where", ratio=name == "where" or None
                )
        for one in self._fired:
            style = COLOURS[one.rule.severity]
            cells = one.cells(self._runs).items()
            table.add_row(
                *(
                    Text(cell, style=style if name in {"alert", "severity"} else "")
                    for name, cell in cells
                    if name not in left_out
                )
            )
        yield table


def print_alerts(console: Console, alerts: Sequence[Alert], runs: int) -> None:
    """The outcome of ``monitor check`` for people; plain text where there is no terminal.

    Of many runs, a table at the end says which rules fired how often and where.
    """
    for alert in alerts:
        console.print(Said(alert), soft_wrap=not console.is_terminal)
    if alerts and runs >= MANY_RUNS:
        console.print(Summary(alerts, runs), soft_wrap=not console.is_terminal)
    firing = sum(alert.active for alert in alerts)
    read, fired = plural(runs, "run"), plural(len(alerts), "alert")
    console.print(Text(f"{read} read; {fired}, {firing} of them still firing."))
