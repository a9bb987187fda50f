"""A run's page: its alerts with evidence and advice, and which series there are to draw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from monitor.alerts import Alert
from monitor.notices import AlertDocument, document
from monitor.page.overview import Row, row
from monitor.page.text import clean, finite
from monitor.pictures import available
from monitor.rules.model import Roles
from monitor.views import RunView

MOST_SCALARS = 1000
HOOK_PREFIX = "health/"
DRAWN = ("train_loss", "val_loss", "learning_rate")
"""The roles of what is drawn unasked."""


class ShownAlert(AlertDocument):
    """An alert with what its page needs beyond the document that everybody gets."""

    active: bool
    layers: list[str]
    """At fault, worst first."""
    tags: list[str]
    facts: dict[str, str]
    """Further numbers of the evidence, and what the run was trained with."""
    saw_from: int | None
    """First step of what the rule looked at when it fired; null where that is no series."""


class Scalar(TypedDict):
    """A series that can be drawn."""

    tag: str
    roles: list[str]
    last: float | None


class RunDocument(Row):
    """The answer to ``GET api/v1/run?run=NAME``."""

    firing: list[ShownAlert]
    past: list[ShownAlert]
    forgotten: int
    """Old alerts that are not kept."""
    facts: dict[str, str]
    scalars: list[Scalar]
    scalars_left_out: int
    drawn: dict[str, list[str]]
    """Role -> tags, for what is drawn unasked."""
    layer_stats: list[str]
    pictures: bool
    """Whether there are pictures of it: ``runs/<run>/alert/<alert>-<step>.png``."""


def detail(view: RunView, roles: Roles) -> RunDocument:
    """A run as its page shows it; alerts that fire and past ones, the latest first."""
    scalars = [_scalar(view, tag, roles) for tag in view.scalars]
    # What has a role comes first, so that the limit hits the rest.
    scalars.sort(key=lambda scalar: (not scalar["roles"], scalar["tag"]))
    alerts = [_alert(alert) for alert in reversed(view.alerts)]
    return RunDocument(
        **row(view),
        firing=_worst_first(alert for alert in alerts if alert["active"]),
        past=[alert for alert in alerts if not alert["active"]],
        forgotten=sum(view.forgotten.values()),
        facts={clean(name): clean(value) for name, value in view.facts.items()},
        scalars=scalars[:MOST_SCALARS],
        scalars_left_out=max(0, len(scalars) - MOST_SCALARS),
        drawn={role: _drawn(roles.having(view.run, view.scalars, role)) for role in DRAWN},
        layer_stats=sorted(view.layers),
        pictures=available(),
    )


def _drawn(found: Iterable[str]) -> list[str]:
    """The tags with a role; those of the hook, which have fewer points, only for want of others."""
    tags = [clean(tag) for tag in sorted(found)]
    return [tag for tag in tags if not tag.startswith(HOOK_PREFIX)] or tags


def _worst_first(alerts: Iterable[ShownAlert]) -> list[ShownAlert]:
    order = ("critical", "warning", "info")
    return sorted(alerts, key=lambda alert: order.index(alert["severity"]))


def _scalar(view: RunView, tag: str, roles: Roles) -> Scalar:
    return Scalar(
        tag=clean(tag), roles=sorted(roles.of(view.run, tag)), last=finite(view.scalars[tag])
    )


def _alert(alert: Alert) -> ShownAlert:
    evidence = alert.evidence
    return ShownAlert(
        **document(alert),
        active=alert.active,
        layers=[clean(layer) for layer in evidence.layers],
        tags=[clean(tag) for tag in alert.tags],
        facts={clean(name): clean(value) for name, value in evidence.facts.items()},
        saw_from=evidence.saw_from,
    )
