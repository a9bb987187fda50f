"""A run read again for one of its alerts: which fired, and the series that they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.alerts import Alert
from monitor.engine import Engine
from monitor.nearest import hint
from monitor.parallel import READ_BYTES, read_to_the_end
from monitor.points import LAYER_PREFIX, TAG_PREFIX, Batch, Floats, Ints
from monitor.rules import RuleSet
from monitor.series import restarts
from monitor.sources.logdir import LogDirs
from monitor.sources.scan import Root

MOST_OTHERS = 3
"""Further series beside the one that is plotted."""


class UnknownName(ValueError):  # noqa: N818 - reads as what it says
    """No run, or no rule, is called so."""


@dataclass(frozen=True, slots=True)
class History:
    """One column of one attempt, and which of its points the alert fired at."""

    name: str
    steps: Ints
    values: Floats
    clock: Floats
    fired: int


@dataclass(frozen=True, slots=True)
class Explained:
    """An alert with what it is about; None if that is no series (silence)."""

    alert: Alert
    subject: History | None
    others: tuple[tuple[str, Floats], ...] = ()
    """Further series, as they were known at the subject's points."""


def explain(logdirs: Sequence[Root], rules: RuleSet, run: str, name: str) -> list[Explained]:
    """The alerts of one run that are called ``name``, in firing order; UnknownName."""
    names = [rule.alert for rule in rules.rules]
    if name not in names:
        raise UnknownName(f"no rule is called {name!r}" + hint(name, names, "there are"))
    engine = Engine(rules)
    for _ in read_to_the_end(_run_of(logdirs, run), engine, final=True):
        pass
    found = [alert for alert in engine.alerts() if alert.rule.alert == name]
    if not found:
        return []
    wanted = _wanted(rules, run, found)
    kept: dict[str, _Kept] = {}
    for batch in _batches(_run_of(logdirs, run)):
        _keep(kept, batch, wanted)
    return [_explained(alert, kept) for alert in found]


def _run_of(logdirs: Sequence[Root], run: str) -> LogDirs:
    """The files of one run."""
    dirs = LogDirs(logdirs)
    dirs.rescan()
    if run not in dirs.runs:
        shown = sorted(dirs.runs)[:20]
        raise UnknownName(f"no run is called {run!r}" + hint(run, shown, "there are"))
    return dirs.split([[run]])[0]


def _batches(dirs: LogDirs) -> Iterator[Batch]:
    while batches := dirs.read(READ_BYTES, final=True):
        yield from batches


@dataclass(slots=True)
class _Kept:
    """All points of one series so far, in parts."""

    layers: tuple[str, ...]
    steps: list[Ints]
    clock: list[Floats]
    values: list[Floats]

    def joined(self) -> tuple[Ints, Floats, Floats]:
        """Steps, clock and values in the order of the clock."""
        clock = np.concatenate(self.clock)
        order = np.argsort(clock, kind="stable")
        return np.concatenate(self.steps)[order], clock[order], np.concatenate(self.values)[order]


def _wanted(rules: RuleSet, run: str, alerts: Sequence[Alert]) -> Callable[[str], bool]:
    """Which tags are needed: those of the alerts, and those that the detector joins to them."""
    mine = {tag for alert in alerts for tag in alert.tags}
    joined = set(getattr(alerts[0].rule.detector, "context", ()))

    def wanted(tag: str) -> bool:
        if tag in mine or TAG_PREFIX + tag in joined:
            return True
        return not tag.startswith(LAYER_PREFIX) and bool(joined & rules.roles.of(run, tag))

    return wanted


def _keep(kept: dict[str, _Kept], batch: Batch, wanted: Callable[[str], bool]) -> None:
    for column in batch.columns:
        if not wanted(column.key.tag):
            continue
        points = column.points()
        names = points.layers.names if points.layers else ()
        one = kept.get(column.key.tag)
        if one is None or one.layers != names:  # other layers: another attempt
            one = kept[column.key.tag] = _Kept(names, [], [], [])
        one.steps.append(points.steps)
        one.clock.append(points.clock)
        one.values.append(points.values)


def _explained(alert: Alert, kept: dict[str, _Kept]) -> Explained:
    first = next((tag for tag in alert.tags if tag in kept), None)
    if first is None:
        return Explained(alert, None)
    series = kept[first]
    columns = [0]
    if series.layers:
        at = {name: i for i, name in enumerate(series.layers)}
        columns = [at[name] for name in alert.evidence.layers if name in at] or columns
    subject = _history(series, first, columns[0], alert)
    others = [
        (series.layers[i], _history(series, first, i, alert).values)
        for i in columns[1 : MOST_OTHERS + 1]
    ]
    for tag, other in kept.items():
        if tag != first and not other.layers and len(others) < MOST_OTHERS:
            others.append((tag, _as_of(other, subject.clock)))
    return Explained(alert, subject, tuple(others))


def _history(series: _Kept, tag: str, column: int, alert: Alert) -> History:
    """The attempt in which the alert fired."""
    steps, clock, values = series.joined()
    at = np.flatnonzero((clock >= alert.fired.clock) & (steps == alert.fired.step))
    fired = int(at[0]) if len(at) else int(np.searchsorted(clock, alert.fired.clock))
    fired = min(fired, len(steps) - 1)
    cuts = [0, *restarts(steps[:0], steps).tolist(), len(steps)]
    begin = max(cut for cut in cuts if cut <= fired)
    end = min(cut for cut in cuts if cut > fired)
    name = series.layers[column] if series.layers else tag
    shown = values[begin:end, column] if series.layers else values[begin:end]
    return History(name, steps[begin:end], shown, clock[begin:end], fired - begin)


def _as_of(series: _Kept, clock: Floats) -> Floats:
    """What the engine joins: the latest value before each time; NaN where there was none."""
    _, times, values = series.joined()
    at = np.searchsorted(times, clock, side="left") - 1
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)
