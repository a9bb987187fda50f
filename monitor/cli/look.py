"""``monitor top`` and ``monitor plot``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from monitor import __version__
from monitor.cli.common import (
    LOGDIRS,
    RULES,
    catch_up,
    existing,
    load_rules,
    tell_problems,
    unusable,
)
from monitor.pictures import KINDS, MISSING, available


@click.command()
@LOGDIRS
@RULES
def top(logdirs: tuple[str, ...], rules: Path | None) -> None:
    """Follow LOGDIR at the terminal: all runs, the sick ones first.

    Keys: q quits, arrows or j and k move, enter shows a run's alerts, / filters, s sorts.
    Without a terminal a line for each run is printed once.
    """
    from monitor.follower import Follower
    from monitor.following import follow
    from monitor.terminal import run_lines

    follower = Follower(existing(logdirs), load_rules(rules))
    catch_up(follower)
    console = Console()
    if console.is_terminal and not console.is_dumb_terminal:
        follow(follower, console, f"monitor {__version__}  {' '.join(map(str, logdirs))}")
    else:
        click.echo("\n".join(run_lines(list(follower.views.values()))))
    tell_problems(follower)


@click.command()
@LOGDIRS
@RULES
@click.option("--run", metavar="RUN", help="The run to draw; needed where there are several.")
@click.option("--tag", metavar="TAG", help="The series to draw. Default: the loss.")
@click.option("--alert", metavar="ALERT", help="Draw what this alert of the run is about.")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="FILE.png, FILE.svg, or - for stdout."
)
@click.option(
    "--format", "kind", type=click.Choice(KINDS), help="Default: what FILE ends with, or png."
)
def plot(
    logdirs: tuple[str, ...],
    rules: Path | None,
    run: str | None,
    tag: str | None,
    alert: str | None,
    output: str,
    kind: str | None,
) -> None:
    """Draw a run in LOGDIR: loss with alerts, the layers that they are about, learning rate.

    Needs matplotlib: pip install 'training-health-monitor[plot]'.
    """
    if not available():
        raise unusable(MISSING)
    ending = Path(output).suffix.removeprefix(".").lower()
    if kind is None and output != "-" and ending not in KINDS:
        raise unusable(f"-o {output}: expected a name that ends with .png or .svg")
    from monitor.pictures.figure import draw
    from monitor.pictures.gather import UnknownName, gather

    roots, rule_set = existing(logdirs), load_rules(rules)
    try:
        drawn = draw(gather(roots, rule_set, run, tag, alert), kind or ending or "png")
    except UnknownName as error:
        raise unusable(str(error)) from error
    try:
        with click.open_file(output, "wb") as file:
            file.write(drawn)
    except OSError as error:
        raise unusable(f"cannot write {output}: {error.strerror}") from error
