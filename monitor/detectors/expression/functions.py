"""The functions of expressions: what each takes and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Reach(Enum):
    """How far back a function looks."""

    POINT = "no window"
    WINDOW = "a window"
    EITHER = "a window, or the attempt so far without one"


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one series or condition."""

    name: str
    reach: Reach
    doc: str
    of_condition: bool = False
    """Whether it takes something true or false rather than a number."""
    share: bool = False
    """Whether a number from 0 to 1 comes before the window."""


_ALL = (
    Function("median", Reach.WINDOW, "the middle value"),
    Function("mean", Reach.EITHER, "the arithmetic mean"),
    Function("min", Reach.EITHER, "the lowest value"),
    Function("max", Reach.EITHER, "the highest value"),
    Function("std", Reach.WINDOW, "the standard deviation"),
    Function(
        "quantile", Reach.WINDOW, "quantile(x, q, n): a part q of values is lower", share=True
    ),
    Function("first", Reach.EITHER, "the oldest value"),
    Function("last", Reach.EITHER, "the latest known value"),
    Function("delta", Reach.WINDOW, "the latest value less the oldest one"),
    Function("slope", Reach.WINDOW, "the slope per step of the straight line that fits best"),
    Function("count", Reach.EITHER, "how often a condition was true", of_condition=True),
    Function("abs", Reach.POINT, "the value without its sign"),
    Function("log", Reach.POINT, "the natural logarithm; unknown of zero and less"),
    Function("exp", Reach.POINT, "the exponential function"),
    Function("sqrt", Reach.POINT, "the square root; unknown of less than zero"),
)

FUNCTIONS: Mapping[str, Function] = MappingProxyType({f.name: f for f in _ALL})
