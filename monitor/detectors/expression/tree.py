"""What an expression is once it has been read: frozen trees, and how they are written.

``at`` is where in the text a part begins; it does not count when two parts are compared, so
that a part which is written twice is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from monitor.points import TAG_PREFIX

VALUE = "value"
"""The series that the rule's match has chosen."""
STEP = "step"
"""The step of the point."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written; never negative."""

    value: float
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Series:
    """A role, ``tag:`` and a tag, ``value`` or ``step``."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Span:
    """How far a function looks back: the point itself is the first of them."""

    amount: int
    unit: Literal["steps", "points"] = "steps"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one part; without a span, those that have one look at the whole attempt."""

    function: str
    operand: Node
    span: Span | None = None
    share: float | None = None
    """The ``q`` of a quantile."""
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``-x`` or ``not x``."""

    sign: str
    operand: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """Two parts and the sign between them, at which it stands in the text."""

    sign: str
    left: Node
    right: Node
    at: int = field(default=0, compare=False)


Node = Number | Series | Call | Unary | Binary

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
POWERS = {"or": 1, "and": 2, "not": 3, **dict.fromkeys(COMPARISONS, 4)} | {
    "+": 5, "-": 5, "*": 6, "/": 6,
}  # fmt: skip
"""How tightly signs bind."""
MINUS = 7
"""So tightly binds the minus of ``-x``."""


def is_boolean(node: Node) -> bool:
    """Whether it is true or false rather than a number."""
    if isinstance(node, Unary):
        return node.sign == "not"
    return isinstance(node, Binary) and POWERS[node.sign] <= POWERS["<"]


def write(node: Node) -> str:
    """The text of a tree, with no more parentheses than it needs."""
    return _write(node, 0)


def _write(node: Node, least: int) -> str:
    """``least``: what binds less tightly needs parentheses."""
    if isinstance(node, Number):
        whole = node.value.is_integer() and node.value < 1e15
        return str(int(node.value)) if whole else repr(node.value)
    if isinstance(node, Series):
        tag = node.name.removeprefix(TAG_PREFIX)
        quote = "'" if '"' in tag else '"'
        return node.name if tag is node.name else f"tag({quote}{tag}{quote})"
    if isinstance(node, Call):
        return f"{node.function}({', '.join(_arguments(node))})"
    if isinstance(node, Unary):
        power = MINUS if node.sign == "-" else POWERS["not"]
        sign = "-" if node.sign == "-" else "not "
        text = sign + _write(node.operand, power)
    else:
        power = POWERS[node.sign]
        chained = power != POWERS["<"]  # a < b < c is refused
        left, right = _write(node.left, power + (not chained)), _write(node.right, power + 1)
        text = f"{left} {node.sign} {right}"
    return f"({text})" if power < least else text


def _arguments(call: Call) -> list[str]:
    texts = [_write(call.operand, 0)]
    if call.share is not None:
        texts.append(_write(Number(call.share), 0))
    if call.span is not None:
        unit = "" if call.span.unit == "steps" else " points"
        texts.append(f"{call.span.amount}{unit}")
    return texts
