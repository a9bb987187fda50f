"""``monitor check``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from monitor.cli.common import (
    LOGDIRS,
    RULES,
    catch_up,
    existing,
    load_rules,
    tell_problems,
    unusable,
)
from monitor.rules import RuleSet, Severity

if TYPE_CHECKING:
    from monitor.alerts import Alert
    from monitor.sources.scan import Root


@click.command()
@LOGDIRS
@RULES
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one array, in firing order.",
)
@click.option(
    "--fail-on",
    type=click.Choice([s.label for s in Severity]),
    default="warning",
    show_default=True,
    help="Exit with 1 if an alert at least this severe fired.",
)
@click.option(
    "--explain",
    nargs=2,
    metavar="RUN ALERT",
    help="Print only why ALERT fired in RUN: the numbers seen and the curve.",
)
def check(
    logdirs: tuple[str, ...],
    rules: Path | None,
    output: str,
    fail_on: str,
    explain: tuple[str, str] | None,
) -> None:
    """Replay what is in LOGDIR and print the alerts.

    LOGDIR is a directory, an event file, or a URL: s3://bucket/prefix, gs://..., az://...

    Exit status: 0 nothing fired, 1 something did, 2 unusable arguments or rules.
    """
    from monitor.follower import Follower
    from monitor.notices import document
    from monitor.terminal import print_alerts

    roots = existing(logdirs)
    if explain is not None:
        if output == "json":
            raise unusable("--explain is for people: leave --format json out")
        _exit(_explain(roots, load_rules(rules), *explain), fail_on)
        return
    follower = Follower(roots, load_rules(rules))
    catch_up(follower)
    tell_problems(follower)
    alerts = follower.alerts()
    if output == "json":
        click.echo(json.dumps([document(a) for a in alerts], indent=2, allow_nan=False))
    else:
        print_alerts(Console(), alerts, len(follower.views))
    _exit(alerts, fail_on)


def _explain(logdirs: Sequence[Root], rules: RuleSet, run: str, alert: str) -> list[Alert]:
    """Prints why an alert fired; the alerts that were explained."""
    from monitor.explain import UnknownName, explain, print_explained

    try:
        found = explain(logdirs, rules, run, alert)
    except UnknownName as error:
        raise unusable(str(error)) from error
    if not found:
        click.echo(f"{alert} did not fire in {run}")
    print_explained(Console(), found)
    return [each.alert for each in found]


def _exit(alerts: Sequence[Alert], fail_on: str) -> None:
    """With 1 if one of them is at least that severe."""
    worst = max((alert.rule.severity for alert in alerts), default=None)
    if worst is not None and worst >= Severity[fail_on.upper()]:
        sys.exit(1)
