"""A rule of the user's own: a condition over series."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.base import Folded, Memory, TextError, Word
from monitor.detectors.expression.parse import parse, start
from monitor.detectors.expression.program import MOST_KEPT, Program, compiled, parts
from monitor.detectors.expression.tokens import Mistake
from monitor.detectors.expression.tree import (
    STEP,
    VALUE,
    Node,
    Number,
    Series,
    write,
)
from monitor.points import TAG_PREFIX, Evidence, Floats, Health, Window

MOST_SERIES = 8
_SAYS = {
    ">": "more than", ">=": "at least", "<": "less than", "<=": "at most", "==": "equal to",
    "!=": "other than",
}  # fmt: skip
_OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True)
class Expression:
    """A rule of the user's own: a condition over series.

    Sees every point of one scalar series: the one that the rule's ``match`` chooses, or else the
    first one named in ``expr``. Bad where the condition is true. Other series of the run count
    with the value that they had just before the point was written (of several with one role the
    greatest), so windows are windows over the points of the series that is judged.

    A window ``50`` or ``50 steps`` holds the points whose step is less than 50 below the present
    one, the last 2,000 of them at most; ``50 points`` holds 50. A function without a window looks
    at the attempt so far. Of that only a number or two is kept, of a window its values: this is
    why the detector folds, since no bounded window knows the lowest median of a whole run.

    Unknown is NaN, a series not seen yet, a window that is not full or half of which is unknown,
    a division by 0, the logarithm of 0. What is computed from unknown is unknown; "and" is false
    if one side is false, "or" is true if one side is true, whatever the other.

    Defaults: none; ``expr`` has to be given.

    Stays quiet: while anything that decides is unknown; when the condition is true for a moment
    only, if the rule has a ``for``.

    Source: the expressions of Prometheus, with windows of steps in the place of time.
    """

    expr: str = field(
        metadata={"unit": "expression", "doc": "the condition, e.g. median(train_loss, 50) > 2"}
    )

    name: ClassVar[str] = "expression"
    default_match: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        if not isinstance(self.expr, str):
            raise ValueError("expr: text")  # noqa: TRY004 - of the file, not of code
        try:
            self._check()
        except Mistake as mistake:
            raise TextError("expr", mistake.message, mistake.at) from None

    def _check(self) -> None:
        tree = parse(self.expr)
        named = {s.name: s.at for s in _series(tree) if s.name != STEP}
        if not named:
            raise Mistake("no series is named here, e.g. train_loss or tag(...)", start(tree))
        if len(named) > MOST_SERIES:
            raise Mistake(f"more than {MOST_SERIES} series", list(named.values())[MOST_SERIES])
        kept = self._program.kept
        if kept > MOST_KEPT:
            message = f"all windows together hold {kept} points, and {MOST_KEPT} are possible"
            raise Mistake(message, start(tree))

    @property
    def _program(self) -> Program:
        return compiled(self.expr)

    @property
    def words(self) -> tuple[Word, ...]:
        """The roles that are named, and where."""
        return tuple(
            Word("expr", series.name, series.at)
            for series in _series(parse(self.expr))
            if series.name not in (VALUE, STEP) and not series.name.startswith(TAG_PREFIX)
        )

    @property
    def context(self) -> tuple[str, ...]:
        """The roles and tags that are named."""
        names = (series.name for series in _series(parse(self.expr)))
        return tuple(dict.fromkeys(name for name in names if name not in (VALUE, STEP)))

    @property
    def own_match(self) -> Mapping[str, str]:
        """The series that is judged where the rule does not say: the first one named."""
        if any(series.name == VALUE for series in _series(parse(self.expr))):
            return {}
        first = self.context[0]
        if first.startswith(TAG_PREFIX):
            return {"tag": rf"/\A{re.escape(first.removeprefix(TAG_PREFIX))}\Z/"}
        return {"role": first}

    @property
    def needs_match(self) -> bool:
        """Whether the rule has to say which series is judged."""
        return not self.own_match

    def begin(self) -> Memory:
        """Nothing seen yet."""
        return self._program.begin()

    def fold(self, memory: Memory, window: Window) -> Folded:
        """BAD where the condition is true, UNKNOWN where it is unknown."""
        program = self._program
        with np.errstate(all="ignore"):
            found, memory = program.run(memory, window)
        truth = found[-1]
        health = np.where(truth == 1, Health.BAD, np.where(truth == 0, Health.OK, Health.UNKNOWN))
        return Folded(health.astype(np.int8), memory, np.stack([found[i] for i in program.sides]))

    def explain(self, window: Window, seen: Floats) -> Evidence:
        """The comparisons that decided, with their numbers."""
        value, said = math.nan, list[str]()
        sides = seen.reshape(-1, 2).tolist()
        for leaf, (left, right) in zip(self._program.leaves, sides, strict=True):
            node = leaf.comparison
            if _holds(node.sign, left, right) is not leaf.truth:
                continue
            if not said:
                value = right if isinstance(node.left, Number) else left
            relation = _SAYS[node.sign if leaf.truth else _OPPOSITE[node.sign]]
            said.append(f"{_told(node.left, left)}, {relation} {_bound(node.right, right)}")
        return Evidence(value, f"at step {int(window.steps[-1])}: " + "; ".join(said))


def _series(tree: Node) -> Iterator[Series]:
    """All series, from left to right."""
    if isinstance(tree, Series):
        yield tree
    for part in parts(tree):
        yield from _series(part)


def _holds(sign: str, left: float, right: float) -> bool | None:
    """None if unknown."""
    if math.isnan(left) or math.isnan(right):
        return None
    found: dict[str, bool] = {
        ">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right,
        "==": left == right, "!=": left != right,
    }  # fmt: skip
    return found[sign]


def _told(node: Node, value: float) -> str:
    return write(node) if isinstance(node, Number) else f"{write(node)} is {number(value)}"


def _bound(node: Node, value: float) -> str:
    return write(node) if isinstance(node, Number) else f"{write(node)}, which is {number(value)}"


def number(value: float) -> str:
    """For people: four significant digits."""
    if abs(value) == math.inf:
        return "infinite" if value > 0 else "minus infinity"
    return f"{value:.4g}"
