"""What several commands share: their arguments, and what becomes of unusable ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from monitor.rules import RuleSet, RulesInvalid, load

if TYPE_CHECKING:
    from monitor.follower import Follower
    from monitor.sources.scan import Root

UNUSABLE = 2

LOGDIRS = click.argument("logdirs", nargs=-1, required=True, metavar="LOGDIR...")
RULES = click.option(
    "--rules",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Rule file. Default: the rules that come with the monitor.",
)


def unusable(message: str) -> SystemExit:
    """Says what is wrong with the arguments; to be raised."""
    click.echo(f"monitor: {message}", err=True)
    return SystemExit(UNUSABLE)


def existing(logdirs: Sequence[str]) -> tuple[Root, ...]:
    """The log directories; SystemExit if one of them is not there."""
    from monitor.sources.scan import problem, root_of

    roots = tuple(map(root_of, logdirs))
    found = [text for text in map(problem, roots) if text is not None]
    if found:
        raise unusable("\nmonitor: ".join(found))
    return roots


def load_rules(path: Path | None) -> RuleSet:
    """The rules of a file, or the built-in ones; SystemExit if they cannot be used."""
    try:
        return load(path)
    except RulesInvalid as error:
        raise unusable("unusable rules\n" + str(error)) from error
    except OSError as error:
        raise unusable(f"cannot read the rules {path}: {error.strerror}") from error


def catch_up(follower: Follower) -> None:
    """Reads all that is there, with a progress bar for people."""
    from monitor.terminal import reading

    errors = Console(stderr=True)
    if errors.is_terminal:
        with reading(errors) as bar:
            task = bar.add_task("reading", total=None)
            follower.catch_up(
                lambda done, left: bar.update(task, completed=done, total=done + left),
                final=True,
                share=1.0,
            )
    else:
        follower.catch_up(final=True, share=1.0)


def tell_problems(follower: Follower) -> None:
    """What could not be read or judged."""
    for problem in follower.dirs.problems.values():
        click.echo(f"monitor: {problem}", err=True)
    for alert, problem in follower.engine.failures.items():
        click.echo(f"monitor: rule {alert} failed, please report this: {problem}", err=True)
    stats = follower.dirs.stats
    if stats.corrupt_records or stats.unusable_events:
        click.echo(
            f"monitor: skipped {stats.corrupt_records} corrupt stretches and "
            f"{stats.unusable_events} unusable events",
            err=True,
        )
