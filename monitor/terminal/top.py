"""``monitor top``: all runs, live, with a key for everything.

What is shown is a function of the runs and of :class:`State`; keys make a new state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.console import Group, RenderableType
from rich.text import Text

from monitor.terminal.tables import Runs, Said, by_health
from monitor.terminal.text import plain
from monitor.views import RunView, by_name

SORTS: dict[str, Callable[[RunView], tuple[object, ...]]] = {
    "health": by_health,
    "newest": lambda view: (-view.last_event, by_name(view.run)),
    "name": lambda view: by_name(view.run),
}
PAGE = 10
_CHROME = 6
"""Lines around the rows: title, the table's head and frame, and the help."""
HELP = "q quit  arrows move  enter alerts  / filter  s sort"


@dataclass(frozen=True, slots=True)
class State:
    """What the person at the keyboard has chosen."""

    selected: int = 0
    opened: str | None = None
    """The run whose alerts are shown."""
    words: str = ""
    """The filter: words that all must be in a run's name or in a firing alert's."""
    typing: bool = False
    sort: str = "health"
    over: bool = False


def press(state: State, key: str, shown: Sequence[RunView]) -> State:
    """The state after a key; ``shown`` are the runs that :func:`chosen` gives for it."""
    if state.typing:
        return _typed(state, key)
    last = max(0, len(shown) - 1)
    at = min(state.selected, last)
    moves = {"up": at - 1, "k": at - 1, "down": at + 1, "j": at + 1}
    moves |= {"pageup": at - PAGE, "pagedown": at + PAGE}
    if key in moves:
        return replace(state, selected=min(max(0, moves[key]), last))
    if key == "enter":
        opened = shown[at].run if state.opened is None and shown else None
        return replace(state, opened=opened)
    if key == "escape":
        return replace(state, opened=None) if state.opened is not None else replace(state, words="")
    if key == "/":
        return replace(state, typing=True, opened=None, selected=0)
    if key == "s":
        names = list(SORTS)
        return replace(state, sort=names[(names.index(state.sort) + 1) % len(names)])
    return replace(state, over=True) if key == "q" else state


def _typed(state: State, key: str) -> State:
    if key == "enter":
        return replace(state, typing=False)
    if key == "escape":
        return replace(state, typing=False, words="")
    if key == "backspace":
        return replace(state, words=state.words[:-1])
    return replace(state, words=state.words + key, selected=0) if len(key) == 1 else state


def chosen(state: State, views: Sequence[RunView]) -> list[RunView]:
    """The runs that pass the filter, sorted."""
    words = state.words.lower().split()
    found = [view for view in views if all(word in _text(view) for word in words)]
    return sorted(found, key=SORTS[state.sort])


def _text(view: RunView) -> str:
    firing = (alert.rule.alert for alert in view.alerts if alert.active)
    return " ".join([view.run, *firing]).lower()


def screen(
    state: State, views: Sequence[RunView], title: str, now: float, height: int
) -> RenderableType:
    """The whole screen, of ``height`` lines."""
    shown = chosen(state, views)
    opened = next((view for view in views if view.run == state.opened), None)
    head = Text(plain(title), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(
        head,
        _alerts(opened) if opened is not None else _runs(state, shown, now, height - _CHROME),
        _foot(state, len(shown), len(views)),
    )


def _runs(state: State, shown: Sequence[RunView], now: float, rows: int) -> RenderableType:
    at, rows = min(state.selected, max(0, len(shown) - 1)), max(1, rows)
    first = max(0, min(at - rows // 2, len(shown) - rows))
    there = enumerate(shown[first : first + rows], start=first)
    return Runs([(view, "reverse" if i == at else "") for i, view in there], now)


def _alerts(view: RunView) -> RenderableType:
    """A run's alerts, those that fire first; the latest first."""
    latest = view.alerts[::-1]
    ordered = sorted(latest, key=lambda alert: not alert.active)
    said: list[RenderableType] = [Said(alert) for alert in ordered]
    return Group(Text(plain(view.run), style="bold"), *(said or [Text("No alert.")]))


def _foot(state: State, shown: int, there: int) -> Text:
    if state.typing:
        return Text(f"filter: {state.words}_", no_wrap=True)
    count = f"{shown} of {there} runs" if state.words else f"{there} runs"
    said = f"{count}, by {state.sort}  {HELP}"
    return Text(said, style="dim", no_wrap=True, overflow="ellipsis")
