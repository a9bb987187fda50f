"""What people see at a terminal: a progress bar while old data is read, then tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from monitor.alerts import Alert
from monitor.notices import advice, number, summary
from monitor.rules import Severity
from monitor.views import RunView

COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red"}
RUNS_SHOWN = 30
LINES_PER_ALERT = 8
MANY_RUNS = 5
"""From so many runs on, a table sums up what fired."""
WHERE_SHOWN = 3
"""Runs that the table names for each rule."""
REFRESH_PER_SECOND = 4


class PlainScreen:
    """No terminal: nothing is drawn, the log tells."""

    def progress(self, done: int, left: int) -> None:
        """Draws nothing."""

    def show(self, views: Sequence[RunView]) -> None:
        """Draws nothing."""


class LiveScreen:
    """A progress bar at first, then tables that follow the runs; a context manager."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._progress = reading(console)
        self._task = self._progress.add_task("reading", total=None)
        self._live: Live | None = None
        self._views: Sequence[RunView] = ()

    def __enter__(self) -> LiveScreen:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)
            self._live.stop()

    def progress(self, done: int, left: int) -> None:
        """``done`` and ``left``: bytes."""
        self._progress.update(self._task, completed=done, total=done + left)

    def show(self, views: Sequence[RunView]) -> None:
        """Draws at most a few times a second, however often it is called."""
        self._views = views
        if self._live is None:
            self._progress.stop()
            self._live = Live(
                get_renderable=self._picture,
                console=self._console,
                refresh_per_second=REFRESH_PER_SECOND,
            )
            self._live.start()

    def _picture(self) -> RenderableType:
        views = self._views
        alerts = [alert for view in views for alert in view.alerts if alert.active]
        alerts.sort(key=lambda a: (-a.rule.severity, a.fired.clock))
        # The sick runs' stories come first; runs that do not fit are counted, not scrolled away.
        height = self._console.height
        shown = alerts[: max(1, height // (2 * LINES_PER_ALERT))]
        rows = max(3, height - 8 - LINES_PER_ALERT * len(shown))
        parts: list[RenderableType] = [Text(self._title, style="dim")]
        parts += [alert_text(alert) for alert in shown]
        if len(alerts) > len(shown):
            parts.append(Text(f"... and {len(alerts) - len(shown)} more alerts", style="dim"))
        parts.append(run_table(views, rows=rows))
        return Group(*parts)


def reading(console: Console) -> Progress:
    """The progress bar for bytes read, with a rate and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def run_table(views: Sequence[RunView], now: float | None = None, rows: int = RUNS_SHOWN) -> Table:
    """One row per run, the sick ones first; at most ``rows`` of them."""
    now = time.time() if now is None else now
    table = Table(expand=True)
    table.add_column("run", no_wrap=True, ratio=3)
    table.add_column("health", no_wrap=True, ratio=1, min_width=8)
    table.add_column("step", justify="right", no_wrap=True, min_width=7)
    table.add_column("last event", justify="right", no_wrap=True, min_width=10)
    ordered = sorted(views, key=lambda view: (-_worst(view), view.run))
    for view in ordered[:rows]:
        age = Text(f"{age_text(now - view.last_event)} ago" if view.last_event else "never")
        table.add_row(Text(view.run), _health(view), str(view.last_step), age)
    if len(ordered) > rows:
        table.add_row(Text(f"... and {len(ordered) - rows} more", style="dim"), "", "", "")
    return table


def _worst(view: RunView) -> int:
    return max((alert.rule.severity for alert in view.alerts if alert.active), default=-1)


def _health(view: RunView) -> Text:
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
    text.append(f"  {alert.run}", style="bold")
    text.append(f"  step {alert.fired.step}")
    if alert.resolved is not None:
        text.append(f", resolved at step {alert.resolved.step}", style="dim")
    text.append(f"  ({alert.rule.detector.name}, {number(alert.evidence.value)})\n", style="dim")
    text.append(f"         {summary(alert)}\n")
    text.append(f"         {advice(alert)}\n", style="dim")
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
            Text(", ".join(where[:WHERE_SHOWN]) + more),
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
