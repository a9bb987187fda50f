"""The list of runs: health at a glance, sorted, filtered and cut into pages.

Pure functions of views; :class:`Rows` only remembers what it made of a view that has not changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from monitor.page.text import clean, rounded
from monitor.points import Floats
from monitor.rules.model import Severity
from monitor.views import RunView, by_name

HEALTHS = ("critical", "warning", "info", "ok")
"""From worst to best: the worst severity that fires; "ok" if nothing does."""
MOST_ROWS = 500
ROWS = 50
ALERTS_NAMED = 6
TREND_POINTS = 48
TEXT_LENGTH = 200


class Firing(TypedDict):
    """An alert that fires, in a row of the list."""

    alert: str
    severity: str


class Row(TypedDict):
    """A run in the list. Times are seconds since the epoch."""

    run: str
    health: str
    alerts: list[Firing]
    more: int
    """Firing alerts beyond those named."""
    resolved: int
    last_step: int
    last_event: float
    ended: bool


class ShownRow(Row):
    trend: list[float | None]
    """The training loss so far in a few numbers; empty where there is none."""


class Overview(TypedDict):
    """The answer to ``GET api/v1/runs``."""

    runs: list[ShownRow]
    total: int
    """Runs that the filters leave."""
    page: int
    pages: int
    all: int
    """Runs known."""
    health: dict[str, int]
    """How many runs of each health the name filter leaves."""


class QueryError(ValueError):
    """A parameter makes no sense; says which and why."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for."""

    words: tuple[str, ...] = ()
    health: frozenset[str] = frozenset(HEALTHS)
    sort: str = "health"
    descending: bool = False
    page: int = 1
    rows: int = ROWS


_KEYS: Mapping[str, Callable[[Row], tuple[object, ...]]] = {
    # The worst first, among equals the one heard of last.
    "health": lambda row: (HEALTHS.index(row["health"]), -_firing(row), -row["last_event"]),
    "name": lambda row: by_name(row["run"]),
    "step": lambda row: (row["last_step"],),
    "event": lambda row: (row["last_event"],),
    "alerts": lambda row: (_firing(row), row["resolved"]),
}
SORTS = tuple(_KEYS)


def query(given: Mapping[str, str]) -> Query:
    """What the parameters of a URL ask for; QueryError."""
    health = frozenset(filter(None, given.get("health", "").split(","))) or frozenset(HEALTHS)
    if unknown := sorted(health - set(HEALTHS)):
        raise QueryError(f"health: {unknown[0][:TEXT_LENGTH]!r} is none of {', '.join(HEALTHS)}")
    sort = given.get("sort", "health")
    if sort not in SORTS:
        raise QueryError(f"sort: {sort[:TEXT_LENGTH]!r} is none of {', '.join(SORTS)}")
    order = given.get("order", "asc")
    if order not in ("asc", "desc"):
        raise QueryError(f"order: {order[:TEXT_LENGTH]!r} is neither asc nor desc")
    words = tuple(given.get("q", "").casefold()[:TEXT_LENGTH].split())
    return Query(
        words=words,
        health=health,
        sort=sort,
        descending=order == "desc",
        page=_count(given, "page", 1, 10**6),
        rows=_count(given, "rows", ROWS, MOST_ROWS),
    )


def _count(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        raise QueryError(f"{name}: a whole number from 1 to {most} is wanted")
    return int(text)


class Rows:
    """Rows of views, made anew only for views that are new."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[RunView, Row, str]] = {}

    def answer(self, views: Mapping[str, RunView], asked: Query) -> Overview:
        """What is asked for of the runs as they stand."""
        made = {name: self._of(name, view) for name, view in views.items()}
        self._made = made
        named = [
            (row, view)
            for view, row, text in made.values()
            if all(word in text for word in asked.words)
        ]
        counts = Counter(row["health"] for row, _ in named)
        left = [pair for pair in named if pair[0]["health"] in asked.health]
        left.sort(
            key=lambda pair: by_name(pair[0]["run"])
        )  # Equal keys stand in the order of names.
        key = _KEYS[asked.sort]
        left.sort(key=lambda pair: key(pair[0]), reverse=asked.descending)
        pages = max(1, -(-len(left) // asked.rows))
        page = min(asked.page, pages)
        shown = left[(page - 1) * asked.rows : page * asked.rows]
        return Overview(
            runs=[ShownRow(**row, trend=trend(view.trend)) for row, view in shown],
            total=len(left),
            page=page,
            pages=pages,
            all=len(views),
            health={name: counts[name] for name in HEALTHS},
        )

    def _of(self, name: str, view: RunView) -> tuple[RunView, Row, str]:
        known = self._made.get(name)
        if known is not None and known[0] is view:
            return known
        made = row(view)
        firing = (alert.rule.alert for alert in view.alerts if alert.active)
        return view, made, "\n".join((made["run"], *firing)).casefold()


def row(view: RunView) -> Row:
    """A run in the list."""
    firing = sorted(
        (alert for alert in view.alerts if alert.active),
        key=lambda alert: (-alert.rule.severity, alert.fired.clock),
    )
    return Row(
        run=clean(view.run),
        health=health([alert.rule.severity for alert in firing]),
        alerts=[
            Firing(alert=clean(alert.rule.alert), severity=alert.rule.severity.label)
            for alert in firing[:ALERTS_NAMED]
        ],
        more=max(0, len(firing) - ALERTS_NAMED),
        resolved=len(view.alerts) - len(firing) + sum(view.forgotten.values()),
        last_step=view.last_step,
        last_event=view.last_event,
        ended=view.ended,
    )


def health(firing: Sequence[Severity]) -> str:
    """The worst severity among those that fire, "ok" if nothing does."""
    return max(firing).label if firing else "ok"


def trend(values: Floats) -> list[float | None]:
    """At most 48 means of a curve's bins [B]; None where no value is finite."""
    if len(values) > TREND_POINTS:
        edges = np.linspace(0, len(values), TREND_POINTS + 1).astype(np.intp)[:-1]
        known = np.isfinite(values)
        sums = np.add.reduceat(np.where(known, values, 0.0), edges)
        counts = np.add.reduceat(known.astype(np.float64), edges)
        with np.errstate(all="ignore"):
            values = sums / counts
    return [rounded(value) for value in values.tolist()]


def _firing(row: Row) -> int:
    return len(row["alerts"]) + row["more"]
