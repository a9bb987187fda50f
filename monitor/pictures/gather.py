"""What is on a picture, read from a run's event files; nothing of it is drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.alerts import Alert
from monitor.engine import Engine
from monitor.history.buckets import Thinned
from monitor.history.run import RunHistory
from monitor.nearest import hint
from monitor.notices import picture_name
from monitor.parallel import read_to_the_end
from monitor.points import LAYER_PREFIX
from monitor.rules import RuleSet
from monitor.sources.logdir import LogDirs
from monitor.sources.scan import Root

LAYER_COLUMNS = 160
BUCKETS = 800
"""As many as a picture has columns; extremes are kept, whatever the number of points."""
MOST_CURVES = 6
TELLING = {"act_nonfinite": "act_rms", "grad_nonfinite": "grad_norm"}
"""Instead of a count of values that were not finite: what became of the values until then."""


class UnknownName(ValueError):  # noqa: N818 - reads as what it says
    """No run, tag or alert is called so."""


@dataclass(frozen=True, slots=True)
class Line:
    """A series: its attempts, each in buckets of one column."""

    tag: str
    attempts: tuple[Thinned, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """An alert's life, in steps; ``end`` is None while it fires."""

    alert: str
    severity: str
    onset: int
    fired: int
    end: int | None
    chosen: bool
    """The picture is about this one."""


@dataclass(frozen=True, slots=True)
class Heat:
    """A statistic of the layers, in depth order."""

    stat: str
    names: tuple[str, ...]
    cells: Thinned


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be drawn."""

    run: str
    lines: tuple[Line, ...]
    """The loss, the held-out loss beside it; or what the alert is about."""
    rates: tuple[Line, ...]
    """Learning rates."""
    spans: tuple[Span, ...]
    heat: Heat | None = None
    """Where an alert is about layers: what it saw of them."""


def gather(
    logdirs: Sequence[Root],
    rules: RuleSet,
    run: str | None,
    tag: str | None = None,
    name: str | None = None,
) -> Picture:
    """The picture of a run; UnknownName.

    ``run`` may be None where there is only one; ``name`` is an alert's, or that of its picture
    (:func:`monitor.notices.picture_name`): then what that alert is about is shown.
    """
    run = _run(logdirs, run)
    history = RunHistory(logdirs, run)
    history.refresh()
    alerts = _alerts(logdirs, rules, run)
    chosen = _chosen(alerts, name) if name is not None else None
    tags = sorted(history.tags())
    if tag is not None and tag not in tags:
        raise UnknownName(f"no series is called {tag!r}" + hint(tag, tags, "there are"))
    return Picture(
        run=run,
        lines=_lines(history, _wanted(rules, run, tags, tag, chosen)),
        rates=_lines(history, _of_role(rules, run, tags, "learning_rate")),
        spans=tuple(_span(alert, alert is chosen) for alert in alerts),
        heat=_heat(history, alerts if chosen is None else [chosen]),
    )


def _run(logdirs: Sequence[Root], run: str | None) -> str:
    """The run's name, of all that there are."""
    dirs = LogDirs(logdirs)
    dirs.rescan()
    there = sorted(dirs.runs)
    if run is None and len(there) == 1:
        return there[0]
    if run is None or run not in there:
        said = "which run is meant (--run)?" if run is None else f"no run is called {run!r}"
        raise UnknownName(said + hint(run or "", there[:20], "there are"))
    return run


def _alerts(logdirs: Sequence[Root], rules: RuleSet, run: str) -> list[Alert]:
    dirs, engine = LogDirs(logdirs), Engine(rules)
    dirs.rescan()
    (own,) = dirs.split([[run]])
    for _ in read_to_the_end(own, engine, final=False):
        pass
    return list(engine.alerts())


def _chosen(alerts: Sequence[Alert], name: str) -> Alert:
    """The alert that ``name`` means: the last of several."""
    for alert in reversed(alerts):
        if name in {alert.rule.alert, picture_name(alert.rule.alert, alert.fired.step)}:
            return alert
    fired = sorted({alert.rule.alert for alert in alerts})
    raise UnknownName(f"no alert {name!r} has fired" + hint(name, fired, "there are"))


def _wanted(
    rules: RuleSet, run: str, tags: Sequence[str], tag: str | None, chosen: Alert | None
) -> list[str]:
    """Tags to be drawn: the one asked for, the alert's own, else the loss."""
    if tag is not None:
        return [tag]
    about = [tag for tag in chosen.tags if tag in tags] if chosen is not None else []
    losses = _of_role(rules, run, tags, "train_loss")
    if about and not set(about) & set(losses):
        return about
    return losses + _of_role(rules, run, tags, "val_loss") or list(tags[:1])


def _of_role(rules: RuleSet, run: str, tags: Sequence[str], role: str) -> list[str]:
    """Tags of that role; those that the hook adds only for want of others."""
    found = rules.roles.having(run, tags, role)
    return [tag for tag in found if not tag.startswith("health/")] or found


def _lines(history: RunHistory, tags: Sequence[str]) -> tuple[Line, ...]:
    found = ((tag, history.scalar(tag, BUCKETS)[1]) for tag in tags[:MOST_CURVES])
    return tuple(Line(tag, tuple(attempts)) for tag, attempts in found)


def _heat(history: RunHistory, alerts: Sequence[Alert]) -> Heat | None:
    """Of the first statistic that one of the alerts is about."""
    for tag in (tag for alert in alerts for tag in alert.tags if tag.startswith(LAYER_PREFIX)):
        own = tag.removeprefix(LAYER_PREFIX)
        for stat in (TELLING.get(own, own), own):
            if found := history.layers(stat, LAYER_COLUMNS):
                names, cells = found
                return Heat(stat, names[: cells.high.shape[1]], cells)
    return None


def _span(alert: Alert, chosen: bool) -> Span:
    return Span(
        alert=alert.rule.alert,
        severity=alert.rule.severity.label,
        onset=min(alert.onset_step, alert.fired.step),
        fired=alert.fired.step,
        end=None if alert.resolved is None else alert.resolved.step,
        chosen=chosen,
    )
