"""The command line: a file for each command. No logic: arguments in, an exit status out."""

from __future__ import annotations

import sys

import click

from monitor import __version__
from monitor.cli.check import check
from monitor.cli.look import plot, top
from monitor.cli.rules import rules
from monitor.cli.watch import watch


@click.command()
@click.option("--keep", is_flag=True, help="Go on serving when the runs are over.")
def demo(keep: bool) -> None:
    """Train five small networks, four of them sick, with the monitor beside them."""
    from monitor.demo import run

    sys.exit(run(keep=keep))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="monitor")
def main() -> None:
    """Watches training runs through their TensorBoard event files and says what is wrong."""


for command in (watch, check, top, plot, rules, demo):
    main.add_command(command)
