"""Text to tokens, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_TEXT = 2000

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign><=|>=|==|!=|[-+*/<>(),])"
)
_INSTEAD = {
    "=": "write == to compare",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not', or != to compare",
    "^": "there are no powers",
    "%": "there is no remainder",
    "'": "the quote is never closed",
    '"': "the quote is never closed",
    "{": "write ( and )",
    "[": "write a window as a function's last argument: median(train_loss, 50)",
}


class Mistake(ValueError):  # noqa: N818 - reads as what it says
    """Something wrong in an expression, ``at`` so many characters from its beginning."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


@dataclass(frozen=True, slots=True)
class Token:
    """``kind``: number, name, text, sign or end; ``text`` without its quotes."""

    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def tokens(text: str) -> tuple[Token, ...]:
    """All tokens, and one for the end. Mistake if there is something else in the text."""
    if len(text) > LONGEST_TEXT:
        raise Mistake(f"longer than {LONGEST_TEXT} characters", LONGEST_TEXT)
    return tuple(_tokens(text))


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            instead = _INSTEAD.get(text[at])
            raise Mistake(f"unexpected {text[at]!r}" + (f": {instead}" if instead else ""), at)
        kind, written = str(found.lastgroup), found[0]
        yield Token(kind, written[1:-1] if kind == "text" else written, at)
        at = found.end()
    # What is missing is missing after the last thing that is there.
    yield Token("end", "", max(0, len(text.rstrip()) - 1))
