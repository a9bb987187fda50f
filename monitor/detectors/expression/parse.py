"""Tokens to a tree, by precedence climbing; types are checked on the way.

    expression = part { sign part }          or < and < not < comparisons < + - < * / < -x
    part       = number | series | call | "(" expression ")" | "-" part | "not" expression
    series     = role | "value" | "step" | "tag" "(" text ")"
    call       = function "(" expression [ "," share ] [ "," window ] ")"
    window     = whole number [ "steps" | "points" ]

Comparisons, "and", "or" and "not" are conditions, all else are numbers; which of the two is
wanted where, is said by the place, so that a wrong one is told with its column.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

from monitor.detectors.expression.functions import FUNCTIONS, Function, Reach
from monitor.detectors.expression.tokens import Mistake, Token, tokens
from monitor.detectors.expression.tree import (
    COMPARISONS,
    MINUS,
    POWERS,
    Binary,
    Call,
    Node,
    Number,
    Series,
    Span,
    Unary,
    is_boolean,
)
from monitor.nearest import hint
from monitor.points import TAG_PREFIX

DEEPEST = 40
MOST_PARTS = 200
MOST_POINTS = 2000
"""In a window."""
MOST_STEPS = 10**9
_WORDS = ("and", "or", "not", "steps", "points", "point")


@lru_cache(maxsize=256)
def parse(text: str) -> Node:
    """The tree of a condition. Mistake says what is wrong, and where."""
    return _Parser(text).whole()


class _Parser:
    """One pass over the tokens, looking one ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0
        self._parts = 0

    def whole(self) -> Node:
        """The tree of the whole text."""
        node = self._expression(0)
        if self._token.kind != "end":
            raise Mistake(
                f"expected a sign such as > or 'and', found {self._token}", self._token.at
            )
        _require(node, True, "an expression")
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        if token.kind != "end":
            self._next += 1
        return token

    def _found(self, *signs: str) -> bool:
        """Takes one of ``signs`` if it comes next."""
        here = self._token.kind == "sign" and self._token.text in signs
        if here:
            self._take()
        return here

    def _expect(self, sign: str, wanted: str) -> None:
        if not self._found(sign):
            raise Mistake(f"expected {wanted}, found {self._token}", self._token.at)

    def _expression(self, least: int) -> Node:
        """All that binds more tightly than ``least``."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise Mistake(f"nested more than {DEEPEST} deep", self._token.at)
        node = self._part(least)
        while (power := _power(self._token)) > least:
            sign = self._take()
            right = self._expression(power)
            wanted = sign.text in ("and", "or")
            for side in (node, right):
                _require(side, wanted, f"{sign.text!r}")
            node = self._counted(Binary(sign.text, node, right, sign.at))
            if sign.text in COMPARISONS and self._token.text in COMPARISONS:
                message = "comparisons cannot be chained: write a < b and b < c"
                raise Mistake(message, self._token.at)
        self._depth -= 1
        return node

    def _counted(self, node: Node) -> Node:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Mistake(f"more than {MOST_PARTS} parts", node.at)
        return node

    def _part(self, least: int) -> Node:
        token = self._take()
        if token.kind == "number":
            return self._counted(Number(_number(token), token.at))
        if token.kind == "sign" and token.text == "(":
            node = self._expression(0)
            self._expect(")", "')' or a sign")
            return node
        if token.kind == "sign" and token.text == "-":
            node = self._expression(MINUS)
            _require(node, False, "'-'")
            return self._counted(Unary("-", node, token.at))
        if token.text == "not" and token.kind == "name":
            if least > POWERS["not"]:
                raise Mistake("put 'not ...' in parentheses here", token.at)
            node = self._expression(POWERS["not"])
            _require(node, True, "'not'")
            return self._counted(Unary("not", node, token.at))
        if token.kind == "name" and token.text not in _WORDS:
            return self._counted(self._named(token))
        quoted = f": write tag({token.text!r})" if token.kind == "text" else ""
        raise Mistake(f"expected a number, a series or a function, found {token}{quoted}", token.at)

    def _named(self, token: Token) -> Node:
        name = token.text
        if not self._found("("):
            if name in FUNCTIONS or name == "tag":
                message = f"{name!r} is a function: expected '(' after it, found {self._token}"
                raise Mistake(message, token.at)
            return Series(name, token.at)
        if name == "tag":
            return self._tag(token)
        if name not in FUNCTIONS:
            known = (*FUNCTIONS, "tag")
            raise Mistake(f"unknown function {name!r}" + hint(name, known, "there are"), token.at)
        return self._call(FUNCTIONS[name], token)

    def _tag(self, token: Token) -> Node:
        tag = self._take()
        if tag.kind != "text" or not tag.text:
            raise Mistake(f"expected a tag in quotes, found {tag}", tag.at)
        self._expect(")", "')' after the tag")
        return Series(TAG_PREFIX + tag.text, token.at)

    def _call(self, function: Function, token: Token) -> Node:
        operand = self._expression(0)
        _require(operand, function.of_condition, f"{function.name}()")
        share = self._share(function) if function.share else None
        span = self._span(function)
        more = "')'" if span or function.reach is Reach.POINT else "',' and a window, or ')'"
        self._expect(")", more)
        if span is None and function.reach is Reach.WINDOW:
            example = "0.9, 50" if function.share else "50"
            message = f"{function.name}() needs a window: {function.name}(..., {example})"
            raise Mistake(message, token.at)
        return Call(function.name, operand, span, share, token.at)

    def _share(self, function: Function) -> float:
        self._expect(",", f"',' and a number from 0 to 1: {function.name}(x, 0.9, 50)")
        token = self._take()
        if token.kind != "number" or _number(token) > 1:
            raise Mistake(f"expected a number from 0 to 1, found {token}", token.at)
        return _number(token)

    def _span(self, function: Function) -> Span | None:
        comma = self._token
        if not self._found(","):
            return None
        if function.reach is Reach.POINT:
            raise Mistake(f"{function.name}() has no window: expected ')', found ','", comma.at)
        token = self._take()
        if token.kind != "number" or not _number(token).is_integer() or _number(token) < 1:
            message = f"expected a window such as 50, 50 steps or 50 points, found {token}"
            raise Mistake(message, token.at)
        unit: Literal["steps", "points"] = "steps"
        if self._token.kind == "name":
            word = self._take()
            if word.text not in ("steps", "step", "points", "point"):
                raise Mistake(f"expected 'steps', 'points' or ')', found {word}", word.at)
            unit = "points" if word.text.startswith("point") else "steps"
        amount, most = int(_number(token)), MOST_POINTS if unit == "points" else MOST_STEPS
        if amount > most:
            raise Mistake(f"a window of at most {most} {unit} is possible", token.at)
        return Span(amount, unit)


def _power(token: Token) -> int:
    """How tightly a token binds what is on both its sides; 0 if it does not."""
    joins = token.kind == "sign" or token.text in ("and", "or")
    return POWERS.get(token.text, 0) if joins and token.kind in ("sign", "name") else 0


def _number(token: Token) -> float:
    value = float(token.text)
    if math.isinf(value):
        raise Mistake(f"{token.text} is too large", token.at)
    return value


def _require(node: Node, condition: bool, who: str) -> None:
    if is_boolean(node) == condition:
        return
    if condition:
        message = f"{who} needs a condition, and this is a number: compare it, e.g. with '> 2'"
    else:
        message = f"{who} needs numbers, and this is a condition"
    raise Mistake(message, start(node))


def start(node: Node) -> int:
    """Where the leftmost thing of a part stands."""
    while isinstance(node, Binary):
        node = node.left
    return node.at
