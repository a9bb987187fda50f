"""The page of settings: every command with its options, as the command line has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from monitor.cli import main
from tests.pages.markdown import MADE, table

ENVIRONMENT: Sequence[tuple[str, str, str]] = (
    (
        "MONITOR_SLACK_WEBHOOK_URL",
        "watch --slack",
        "The address of the incoming webhook. A secret: never an argument, and never in a log.",
    ),
    ("MONITOR_SLACK_WEBHOOK_URL_FILE", "watch --slack", "A file that holds it, instead."),
    (
        "MONITOR_LAYER_METRICS",
        "watch",
        "Statistics of layers that [metrics](metrics.md) hold: `grad_norm update_ratio`.",
    ),
    ("NO_COLOR", "all", "Set to anything: no colours on a terminal."),
    (
        "RANK",
        "the hook",
        "The rank of a training process, where `torch.distributed` is not initialised.",
    ),
    (
        "AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_..., ...",
        "s3://, gs://, az://",
        "Credentials are found by the store's own driver (s3fs, gcsfs, adlfs), as its users know.",
    ),
)
"""Variable, what reads it, meaning."""


def settings_page() -> str:
    """The whole page."""
    variables = table(
        ("Variable", "Read by", ""), ((f"`{name}`", by, said) for name, by, said in ENVIRONMENT)
    )
    about = (
        "`monitor`, also `python -m monitor`. Rules, and what they are run on, are in "
        "[rules.yaml](../rules.yaml); its schema is printed by `monitor rules schema`."
    )
    parts = [f"{MADE}\n\n# Settings\n\n{about}", *_commands(main, "monitor")]
    return "\n\n".join([*parts, f"## Environment\n\n{variables}"]) + "\n"


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its whole name."""
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from commands(inner, f"{name} {word}")
    else:
        yield name, command


def _commands(top: click.Command, name: str) -> Iterator[str]:
    for whole, command in commands(top, name):
        context = click.Context(command, info_name=whole)
        usage = " ".join([whole, *command.collect_usage_pieces(context)])
        parts = [f"## `{whole}`", f"    {usage}", _text(command.help or "")]
        rows = [r for p in command.params if (r := p.get_help_record(context)) is not None and r[1]]
        if rows:
            parts.append(table(("Option", ""), ((f"`{option}`", said) for option, said in rows)))
        yield "\n\n".join(parts)


def _text(help_text: str) -> str:
    """Paragraphs, as ``--help`` wraps them."""
    return "\n\n".join(" ".join(part.split()) for part in help_text.split("\n\n"))
