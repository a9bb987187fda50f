"""Runs and alerts as tables and paragraphs; whatever comes from files is shown as harmless text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.alerts import Alert
from monitor.notices import advice, number, summary
from monitor.rules import Severity
from monitor.terminal.text import Name, Sparkline, plain
from monitor.views import RunView

COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red"}
RUNS_SHOWN = 30
SPARKLINE = 24
MANY_RUNS = 5
"""From so many runs on, a table sums up what fired."""
WHERE_SHOWN = 3
"""Runs that the table names for each rule."""


def run_table(views: Sequence[RunView], now: float | None = None, rows: int = RUNS_SHOWN) -> Table:
    """One row per run, the sick ones first; at most ``rows`` of them."""
    now = time.time() if now is None else now
    table = empty_table()
    ordered = sorted(views, key=by_health)
    for view in ordered[:rows]:
        table.add_row(*run_row(view, now))
    if len(ordered) > rows:
        more = Text(f"... and {len(ordered) - rows} more", style="dim")
        table.add_row(more, "", "", "", "")
    return table


def empty_table() -> Table:
    """For rows of :func:`run_row`."""
    table = Table(expand=True)
    table.add_column("run", no_wrap=True, ratio=3)
    table.add_column("health", no_wrap=True, ratio=2, min_width=8)
    table.add_column("loss", no_wrap=True, ratio=1, min_width=4, max_width=SPARKLINE)
    table.add_column("step", justify="right", no_wrap=True, min_width=5)
    table.add_column("last event", justify="right", no_wrap=True, min_width=8)
    return table


def run_lines(views: Sequence[RunView]) -> Iterator[str]:
    """For programs that read lines: name, what fires or "ok", step, age; between tabs."""
    now = time.time()
    for view in sorted(views, key=by_health):
        age = f"{age_text(now - view.last_event)} ago" if view.last_event else "never"
        yield "\t".join((plain(view.run), health(view).plain, f"step {view.last_step}", age))


def run_row(view: RunView, now: float) -> tuple[RenderableType, ...]:
    """Name, health, loss so far, step and age."""
    age = f"{age_text(now - view.last_event)} ago" if view.last_event else "never"
    curve = Sparkline(view.trend)
    return Name(view.run), health(view), curve, str(view.last_step), Text(age)


def by_health(view: RunView) -> tuple[int, str]:
    """To sort by: the worst first, then by name."""
    return -worst(view), view.run


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


def alert_text(alert: Alert) -> Text:
    """An alert for people: what was seen, what it usually means, what to try."""
    colour = COLOURS[alert.rule.severity]
    text = Text()
    text.append(f"{alert.rule.severity.label:<8} ", style=colour)
    text.append(f"{alert.rule.alert}", style=colour)
    text.append(f"  {plain(alert.run)}", style="bold")
    text.append(f"  step {alert.fired.step}")
    if alert.resolved is not None:
        text.append(f", resolved at step {alert.resolved.step}", style="dim")
    text.append(f"  ({alert.rule.detector.name}, {number(alert.evidence.value)})\n", style="dim")
    text.append(f"         {plain(summary(alert))}\n")
    text.append(f"         {plain(advice(alert))}\n", style="dim")
    return text


def rule_table(alerts: Sequence[Alert], runs: int) -> Table:
    """Which rules fired how often and where, over an archive of ``runs`` runs."""
    table = Table(expand=True)
    table.add_column("alert", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("runs", justify="right", no_wrap=True)
    table.add_column("of all", justify="right", no_wrap=True)
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("at step", justify="right", no_wrap=True)
    table.add_column("where", ratio=1)
    by_rule: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_rule.setdefault(alert.rule.alert, []).append(alert)
    for name, fired in sorted(by_rule.items(), key=lambda item: -_count_runs(item[1])):
        rule, steps = fired[0].rule, sorted(alert.fired.step for alert in fired)
        where = list(dict.fromkeys(alert.run for alert in fired))
        more = f" and {len(where) - WHERE_SHOWN} more" if len(where) > WHERE_SHOWN else ""
        colour = COLOURS[rule.severity]
        table.add_row(
            Text(name, style=colour),
            Text(rule.severity.label, style=colour),
            str(len(where)),
            f"{100 * len(where) / runs:.0f} %",
            str(len(fired)),
            f"{steps[0]}" if steps[0] == steps[-1] else f"{steps[0]} to {steps[-1]}",
            Text(plain(", ".join(where[:WHERE_SHOWN])) + more),
        )
    return table


def _count_runs(alerts: Sequence[Alert]) -> int:
    return len({alert.run for alert in alerts})


def print_alerts(console: Console, alerts: Sequence[Alert], runs: int) -> None:
    """The outcome of ``monitor check`` for people; plain text where there is no terminal.

    Of many runs, a table at the end says which rules fired how often and where.
    """
    for alert in alerts:
        console.print(alert_text(alert), soft_wrap=not console.is_terminal)
    if alerts and runs >= MANY_RUNS:
        console.print(rule_table(alerts, runs))
    firing = sum(alert.active for alert in alerts)
    console.print(Text(f"{runs} runs read; {len(alerts)} alerts, {firing} of them still firing."))
