"""Patterns of rule files: globs for the whole name, whatever its case, or /regexes/."""

from __future__ import annotations

import re
from fnmatch import translate


def parse_pattern(text: object) -> re.Pattern[str]:
    """Compiles one glob or /regex/, to be used with ``search``; ValueError says what is wrong."""
    if not isinstance(text, str):
        raise ValueError("expected a glob or a /regex/, as text")  # noqa: TRY004
    if not text:
        raise ValueError("an empty pattern matches nothing: leave it out, or write '*'")
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        try:
            return re.compile(text[1:-1])
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"bad regular expression {text!r}: {error}") from None
    return re.compile(r"\A" + translate(text), re.IGNORECASE)
