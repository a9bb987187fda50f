"""``monitor rules``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.common import load_rules, unusable
from monitor.rules import RulesInvalid, default_path, json_schema

if TYPE_CHECKING:
    from monitor.ruletests import Tests


@click.group()
def rules() -> None:
    """Look at rule files."""


@rules.command("check")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def rules_check(file: Path | None) -> None:
    """Say everything that is wrong in FILE (default: the built-in rules)."""
    rule_set = load_rules(file)
    click.echo(f"{file or default_path()}: {len(rule_set.rules)} rules, all good")


@rules.command("test")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(dir_okay=False, path_type=Path),
)
def rules_test(files: tuple[Path, ...]) -> None:
    """Run the tests of rules in FILE.

    Exit status: 0 all came out as expected, 1 some did not, 2 unusable tests or rules.
    """
    from monitor.ruletests import run

    read = [(file, _load_tests(file)) for file in files]
    failed = 0
    for file, tests in read:
        for case in tests.cases:
            failures = run(case, tests.rules)
            failed += bool(failures)
            click.echo(f"{'FAILED' if failures else 'ok':<7} {case.section.name}")
            for failure in failures:
                click.echo(f"  {file}:{failure.line}:{failure.column}: {failure.message}")
    total = sum(len(tests.cases) for _, tests in read)
    click.echo(f"{total - failed} of {total} tests passed")
    if failed:
        sys.exit(1)


@rules.command("list")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def rules_list(file: Path | None) -> None:
    """List the rules of FILE (default: the built-in rules)."""
    for rule in load_rules(file).rules:
        click.echo(
            f"{rule.alert:<28} {rule.severity.label:<9} {rule.detector.name:<20} {rule.group}"
        )


@rules.command("schema")
def rules_schema() -> None:
    """Print the JSON schema of rule files."""
    click.echo(json.dumps(json_schema(), indent=2))


def _load_tests(path: Path) -> Tests:
    from monitor.ruletests import load_tests

    try:
        return load_tests(path)
    except RulesInvalid as error:
        raise unusable("unusable tests\n" + str(error)) from error
    except OSError as error:
        raise unusable(f"cannot read {error.filename}: {error.strerror}") from error
