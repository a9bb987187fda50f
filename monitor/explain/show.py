"""The evidence of an alert for people: what was seen, the numbers, the curve."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.explain.history import Explained, History
from monitor.explain.plot import ASCII, BRAILLE, Marks, draw, scale
from monitor.explain.table import Row, rows, window
from monitor.notices import number
from monitor.terminal import Said

MOST_SHOWN = 3


def print_explained(console: Console, found: Sequence[Explained]) -> None:
    """All of them, a few in full."""
    for each in found[:MOST_SHOWN]:
        console.print(Said(each.alert), soft_wrap=not console.is_terminal)
        for part in _evidence(console, each):
            console.print(part, soft_wrap=isinstance(part, Text) and not console.is_terminal)
    if len(found) > MOST_SHOWN:
        console.print(Text(f"... and {len(found) - MOST_SHOWN} more times"))


def _evidence(console: Console, each: Explained) -> list[RenderableType]:
    evidence, history = each.alert.evidence, each.subject
    facts = [Text(f"{name}: {value}") for name, value in evidence.facts.items()]
    if history is None:
        return [*facts, Text("There is no curve to show: it is about when events came.")]
    begin = window(each.alert.rule.detector, history.fired)
    found = rows(
        history.steps, history.values, begin, history.fired, tuple(v for _, v in each.others)
    )
    many = history.fired + 1 - begin
    said = f"{history.name}: the {many} points that were looked at, and what came after"
    drawn = f"{history.name}, the whole attempt ({scale(history.values)} scale)"
    return [
        *facts,
        Text(said, style="bold"),
        _table(found, [name for name, _ in each.others]),
        Text(),
        Text(drawn, style="bold"),
        Text("\n".join(_plot(console, each, history))),
        Text(),
    ]


def _table(found: Sequence[Row], others: Sequence[str]) -> Table:
    single = all(row.points == 1 for row in found)
    broken = any(row.not_finite for row in found) and not single
    table = Table(box=None, pad_edge=False)
    names = ["value"] if single else ["mean", "lowest", "highest"]
    names += ["not finite"] if broken else []
    for name in ("step" if single else "steps", *names, *others, ""):
        justify = "left" if name == "" else "right"
        table.add_column(Text(name), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in found:
        span = f"{row.first_step} to {row.last_step}" if row.points > 1 else f"{row.first_step}"
        shown = [row.mean] if single else [row.mean, row.low, row.high]
        cells = [span, *map(number, shown)]
        cells += [str(row.not_finite)] if broken else []
        cells += [*map(number, row.others), "< fired" if row.fired else ""]
        table.add_row(*map(Text, cells))
    return table


def _plot(console: Console, each: Explained, history: History) -> list[str]:
    alert = each.alert
    marks = Marks(
        min(alert.onset_step, alert.fired.step),
        alert.fired.step,
        None if alert.resolved is None else alert.resolved.step,
    )
    signs = BRAILLE if console.encoding.startswith("utf") else ASCII
    return draw(history.steps, history.values, marks, console.width, signs)
