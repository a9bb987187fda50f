"""Docstrings as Markdown.

The docstrings of this project are paragraphs, lists with ``*`` and indented examples, which
Markdown reads as they are. What differs is written inline: double backquotes and roles.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

MADE = "<!-- Made from the code by `make docs`: change it there. -->"

_ROLE = re.compile(r":\w+:`(~?)([^`]+)`")
_CODE = re.compile(r"``(.+?)``", re.DOTALL)


def inline(text: str) -> str:
    """Roles and double backquotes become code; two colons before an example become one."""

    def role(found: re.Match[str]) -> str:
        name = found[2].rsplit(".", 1)[-1] if found[1] else found[2]
        return f"`{name}`"

    text = _CODE.sub(r"`\1`", _ROLE.sub(role, text))
    return re.sub(r"::$", ":", text)


def paragraphs(docstring: str) -> list[str]:
    """Its paragraphs as Markdown, without the docstring's indentation."""
    return [inline(part.rstrip()) for part in re.split(r"\n\s*\n", inspect.cleandoc(docstring))]


def sections(docstring: str, openings: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Heading -> paragraphs. What precedes the first opening is under the empty heading.

    ``openings``: words that begin a section when a paragraph begins with them, and its heading.
    Words that end with a colon are dropped, since the heading says the same.
    """
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for paragraph in paragraphs(docstring):
        opening = next((o for o in openings if paragraph.startswith(o[0])), None)
        if opening is None:
            found[heading].append(paragraph)
            continue
        words, heading = opening
        told = paragraph.removeprefix(words).lstrip() if words.endswith(":") else paragraph
        found.setdefault(heading, []).append(told[:1].upper() + told[1:])
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells may hold bars and line ends."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
