"""YAML text -> plain values, with the line and column of each.

Plain scalars are read as YAML 1.2 does it, not as PyYAML's YAML 1.1 would: ``on`` and ``yes``
are text, ``1e-3`` is a number, ``12:30:00`` is text; ``010``, which is 8 to some readers and
10 to others, is refused. So are duplicate keys, of which PyYAML would keep the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from monitor.rules.model import RuleError, RulesInvalid

Loc: TypeAlias = tuple[str | int, ...]
"""Path to a value: keys and indices from the top."""

MOST_VALUES = 50_000
"""An alias counts each time it is used, so that a short file cannot mean a huge one."""

_PLAIN = "plain"
_TEXT = "tag:yaml.org,2002:str"
_KNOWN_TAGS = {_PLAIN, _TEXT, "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(slots=True)
class Document:
    """A YAML document as plain values, and where each of them stands."""

    file: str
    value: object = None
    errors: list[RuleError] = field(default_factory=list)
    values: dict[Loc, tuple[int, int]] = field(default_factory=dict)
    """Line and column of each value."""
    keys: dict[Loc, tuple[int, int]] = field(default_factory=dict)
    """Line and column of each key of a mapping."""
    spoiled: set[Loc] = field(default_factory=set)
    """Values that could not be read; they are None."""
    texts: dict[Loc, ScalarNode] = field(default_factory=dict)
    """The nodes of values that are text."""
    source: str = ""
    """The whole file."""

    def error(self, loc: Loc, message: str, key: bool = False, offset: int | None = None) -> None:
        """Notes an error at the value of ``loc`` (at its key, with ``key``), or around it.

        ``offset``: so many characters into the value, which is text.
        """
        if key or loc not in self.spoiled:
            place = self._position(loc, key)
            if offset is not None and loc in self.texts:
                place = _place(self.source, within(self.source, self.texts[loc], offset))
            self.errors.append(RuleError(self.file, *place, message))

    def _position(self, loc: Loc, key: bool) -> tuple[int, int]:
        if key and loc in self.keys:
            return self.keys[loc]
        while loc and loc not in self.values:
            loc = loc[:-1]
        return self.values.get(loc, (1, 1))

    def at(self, loc: Loc) -> object:
        """The value at ``loc``; None where there is none."""
        value = self.value
        for part in loc:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value


class _Loader(yaml.SafeLoader):
    """Composes nodes and leaves open what plain scalars mean."""

    def resolve(self, kind: type[Node], value: object, implicit: object) -> str:
        if kind is ScalarNode:
            plain = isinstance(implicit, tuple) and implicit[0]
            return _PLAIN if plain else _TEXT
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def read(text: str, file: str) -> Document:
    """Reads one YAML document; RulesInvalid if it is not YAML at all."""
    document = Document(file, source=text)
    try:
        node = _compose(text)
        if node is not None:
            document.value = _Reader(document).read(node, ())
    except yaml.reader.ReaderError as error:
        line, column = _place(text, error.position)
        message = f"character {text[error.position]!r} is not allowed in YAML"
        raise RulesInvalid((RuleError(file, line, column, message),)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise RulesInvalid((RuleError(file, line, column, _problem(error)),)) from None
    except _TooMuchError:
        message = f"more than {MOST_VALUES} values; an alias counts each time it is used"
        raise RulesInvalid((RuleError(file, 1, 1, message),)) from None
    except RecursionError:
        raise RulesInvalid((RuleError(file, 1, 1, "nested too deeply"),)) from None
    return document


def _compose(text: str) -> Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except (ValueError, ArithmeticError) as error:
        # PyYAML lets some of Python's own errors through, e.g. for the escape \UFFFFFFFF.
        mark = loader.get_mark()
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=mark) from None
    finally:
        loader.dispose()


def _problem(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    message = "not valid YAML: " + ", ".join(parts)
    if "cannot start any token" in message and "'\\t'" in message:
        message += " (YAML is indented with spaces, not tabs)"
    return message


def _place(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


class _TooMuchError(Exception):
    """The document means more values than we are ready to hold."""


class _Reader:
    """Turns nodes into values; errors go to the document, and reading goes on."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = MOST_VALUES
        self._above: set[int] = set()

    def read(self, node: Node, loc: Loc) -> object:
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError
        self._document.values[loc] = _mark(node)
        if node.tag not in _KNOWN_TAGS:
            self._spoil(loc, f"YAML tags such as {node.tag!r} are not supported")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, loc)
        if id(node) in self._above:
            self._spoil(loc, "an alias cannot stand within what it stands for")
            return None
        self._above.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.read(item, (*loc, i)) for i, item in enumerate(node.value)]
            assert isinstance(node, MappingNode)
            return {key: self.read(value, (*loc, key)) for key, value in self._pairs(node, loc)}
        finally:
            self._above.discard(id(node))

    def _pairs(self, node: MappingNode, loc: Loc) -> Iterator[tuple[str, Node]]:
        """Keys are text, as written; the first of two equal ones counts."""
        seen: dict[str, int] = {}
        for key, value in node.value:
            line, column = _mark(key)
            if not isinstance(key, ScalarNode):
                self._refuse(line, column, "a key must be plain text")
            elif key.value == "<<" and key.tag == _PLAIN:
                self._refuse(line, column, "merge keys (<<) are not supported: write the keys out")
            elif key.value in seen:
                message = f"key {key.value!r} was already given on line {seen[key.value]}"
                self._refuse(line, column, message)
            else:
                seen[key.value] = line
                place = (*loc, key.value)
                self._document.keys[place] = line, column
                yield key.value, value

    def _refuse(self, line: int, column: int, message: str) -> None:
        self._document.errors.append(RuleError(self._document.file, line, column, message))

    def _spoil(self, loc: Loc, message: str) -> None:
        """Notes an error at a value that is not read; nobody else needs to complain of it."""
        self._document.error(loc, message)
        self._document.spoiled.add(loc)

    def _scalar(self, node: ScalarNode, loc: Loc) -> object:
        text = str(node.value)
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            self._spoil(loc, f"{text!r} is not valid Unicode")
            return None
        self._document.texts[loc] = node
        if node.tag == _TEXT:
            return text
        if len(text) > 1 and _INTEGER.fullmatch(text) and text.lstrip("+-").startswith("0"):
            digits = text.lstrip("+-").lstrip("0") or "0"
            message = f"{text} is octal to some YAML readers and decimal to others: write {digits}"
            self._spoil(loc, f"{message}, or {text!r} in quotes")
            return None
        return _plain(text)


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def within(source: str, node: ScalarNode, offset: int) -> int:
    """Where in the file the character ``offset`` of a text stands; its beginning if unknown.

    YAML folds lines, doubles quotes and has escapes, so the text is looked up character by
    character in what was written; blanks stand for any blanks.
    """
    begin, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        begin = source.find("\n", begin) + 1 or begin
    elif node.style in ("'", '"'):
        begin += 1
    at = begin
    for character in node.value[:offset]:
        if not character.isspace():
            at = source.find(character, at, end) + 1
            if not at:
                return int(node.start_mark.index)
    text = node.value[offset : offset + 1]
    found = source.find(text, at, end) if text and not text.isspace() else at
    return found if found >= 0 else int(node.start_mark.index)


def _plain(text: str) -> object:
    """What a plain scalar means in YAML 1.2."""
    lower = text.lower()
    if lower in _CONSTANTS and text in (lower, lower.upper(), lower.capitalize()):
        return _CONSTANTS[lower]
    if lower in _SPECIAL:
        return float(_SPECIAL[lower])
    if len(text) <= 400:  # Python refuses to read integers of thousands of digits
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OTHER_BASE.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
