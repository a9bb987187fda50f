"""What ``watch`` shows at a terminal: a progress bar while old data is read, then tables."""

from __future__ import annotations

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
from rich.text import Text

from monitor.terminal.tables import Said, run_table
from monitor.terminal.text import plural
from monitor.views import RunView

LINES_PER_ALERT = 8
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
        parts += [Said(alert) for alert in shown]
        if len(alerts) > len(shown):
            more = plural(len(alerts) - len(shown), "more alert")
            parts.append(Text(f"... and {more}", style="dim"))
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
