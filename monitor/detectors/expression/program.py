"""A tree made into a list of operations on columns, and what is noted between reads.

Each part is computed once, however often it is written. What a part needs of the past is its
memory: of a window the values in it, of a function of the whole attempt one number or two. So
the cost of a point does not depend on how long a run is, parts may be nested as one likes, and
nothing is computed twice when the next read comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from monitor.detectors.base import Memory
from monitor.detectors.expression import columns
from monitor.detectors.expression.parse import MOST_POINTS, parse
from monitor.detectors.expression.tree import (
    COMPARISONS,
    STEP,
    VALUE,
    Binary,
    Call,
    Node,
    Number,
    Series,
    Span,
    Unary,
)
from monitor.points import Floats, Ints, Window

MOST_KEPT = 20_000
"""Values in the memory of one expression: 160 kB for each attempt of each series."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One part: which it is, and the positions of what it is made of."""

    node: Node
    inputs: tuple[int, ...] = ()
    slot: int | None = None
    """Of its memory."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A comparison that "and", "or" and "not" join to the condition."""

    comparison: Binary
    truth: bool
    """Which outcome of it is bad."""


@dataclass(frozen=True, slots=True)
class Program:
    """Operations in an order in which they can be done; the last is the condition."""

    operations: tuple[Operation, ...]
    slots: tuple[Call, ...]
    """What has a memory; slot 0 is that of the steps."""
    leaves: tuple[Leaf, ...]
    sides: tuple[int, ...]
    """Which operations are the left and the right side of each leaf in turn."""

    def begin(self) -> Memory:
        """The memory before the first point."""
        reach = max((points(call.span) for call in self.slots if call.span), default=1)
        return (np.full(reach - 1, np.nan), *map(_nothing, self.slots))

    @property
    def kept(self) -> int:
        """How many values the memory holds."""
        return sum(map(len, self.begin()))

    def run(self, memory: Memory, window: Window) -> tuple[list[Floats], Memory]:
        """The columns of all operations for the new points, and the memory after them."""
        past, steps = memory[0], window.steps.astype(np.float64)
        times = _Times(np.concatenate((past, steps)), window)
        after = [_tail(times.steps, len(past)), *memory[1:]]
        found: list[Floats] = []
        for operation in self.operations:
            inputs = [found[i] for i in operation.inputs]
            slot = operation.slot
            if slot is None:
                found.append(_column(operation.node, inputs, window, steps))
                continue
            call = self.slots[slot - 1]
            if call.span is None:
                column, after[slot] = columns.running(call.function, memory[slot], inputs[0])
            else:
                joined = np.concatenate((memory[slot], inputs[0]))
                column = _windows(call, call.span, joined, times)
                after[slot] = _tail(joined, len(memory[slot]))
            found.append(column)
        return found, tuple(after)


@lru_cache(maxsize=256)
def compiled(text: str) -> Program:
    """The operations of a condition. Mistake says what is wrong with the text."""
    tree = parse(text)
    operations: list[Operation] = []
    positions: dict[Node, int] = {}
    slots: list[Call] = []

    def add(node: Node) -> int:
        if node not in positions:
            inputs = tuple(add(part) for part in parts(node))
            slot = None
            if isinstance(node, Call) and node.function not in columns.UNARY:
                slots.append(node)
                slot = len(slots)
            operations.append(Operation(node, inputs, slot))
            positions[node] = len(operations) - 1
        return positions[node]

    add(tree)
    found = tuple(leaves(tree, True))
    compared = (leaf.comparison for leaf in found)
    sides = tuple(positions[side] for c in compared for side in (c.left, c.right))
    return Program(tuple(operations), tuple(slots), found, sides)


def leaves(tree: Node, truth: bool) -> Iterator[Leaf]:
    """The comparisons from left to right; ``truth``: which outcome of the tree is bad."""
    if isinstance(tree, Binary) and tree.sign in COMPARISONS:
        yield Leaf(tree, truth)
        return
    negated = isinstance(tree, Unary)
    for part in parts(tree):
        yield from leaves(part, truth != negated)


def parts(node: Node) -> tuple[Node, ...]:
    """What a node is made of, from left to right."""
    if isinstance(node, Binary):
        return node.left, node.right
    return (node.operand,) if isinstance(node, Call | Unary) else ()


def points(span: Span) -> int:
    """The most points that a window can hold."""
    return min(span.amount, MOST_POINTS)


def _nothing(call: Call) -> Floats:
    if call.span is None:
        return columns.nothing(call.function)
    return np.full(points(call.span) - 1, np.nan)


def _tail(values: Floats, keep: int) -> Floats:
    tail: Floats = values[len(values) - keep :].copy()
    return tail


def _column(node: Node, inputs: list[Floats], window: Window, steps: Floats) -> Floats:
    if isinstance(node, Number):
        return np.full(len(steps), node.value)
    if isinstance(node, Series):
        own = {VALUE: window.values, STEP: steps}
        return own[node.name] if node.name in own else window.context[node.name]
    if isinstance(node, Binary):
        return columns.BINARY[node.sign](*inputs)
    sign = node.sign if isinstance(node, Unary) else node.function
    apply: Callable[[Floats], Floats] = columns.UNARY[sign]
    return apply(inputs[0])


class _Times:
    """When the points were: what tells which of them a window holds, and whether it is full."""

    def __init__(self, steps: Floats, window: Window) -> None:
        self.steps = steps
        self.new: Ints = window.steps
        self._window = window

    def full(self, span: Span) -> Floats:
        """Whether the attempt is as old as the window is long: [new], 1 or 0."""
        if span.unit == "points":
            age = self._window.index + 1 + np.arange(len(self.new))
        else:
            age = self.new - self._window.first_step + 1
        return (age >= span.amount).astype(np.float64)


def _windows(call: Call, span: Span, joined: Floats, times: _Times) -> Floats:
    """A function of windows for all new points; in blocks, so that memory is bounded."""
    width, new = points(span), len(times.new)
    values = _view(joined, width)
    steps = _view(times.steps[len(times.steps) - new - width + 1 :], width)
    result = np.empty(new)
    block = max(1, columns.MOST_CELLS // width)
    for a in range(0, new, block):
        chosen = slice(a, min(a + block, new))
        result[chosen] = _block(call, span, values[chosen], steps[chosen])
    return np.where(times.full(span) > 0, result, np.nan)


def _view(values: Floats, width: int) -> Floats:
    """[T, width]: one row per point, as views; most live reads bring one point."""
    if len(values) == width:
        return values[None, :]
    return np.lib.stride_tricks.sliding_window_view(values, width)


def _block(call: Call, span: Span, values: Floats, steps: Floats) -> Floats:
    if span.unit == "steps":
        inside = steps > steps[:, -1:] - span.amount
        rows, held = np.where(inside, values, np.nan), inside.sum(axis=1)
    else:
        rows, held = np.ascontiguousarray(values), span.amount
    # Unknown if more than half of the window is.
    enough = 2 * columns.known(rows).sum(axis=1) >= held
    found = columns.windowed(call.function, call.share, rows, steps)
    return np.where(enough, found, np.nan)
