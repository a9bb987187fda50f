"""What a loss was computed from: the autograd graph, as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

LARGEST = 50_000
"""Nodes beyond which a graph is not looked at; walking one takes about 6 us a node."""

_NUMBERED = re.compile(r"Backward\d*$")


@dataclass(frozen=True)
class Graph:
    """Operations, the loss first; numbers are positions in ``kinds``."""

    kinds: Sequence[str]
    """``Addmm``, ``Relu``, ``MseLoss``, ... as autograd names them."""
    inputs: Sequence[Sequence[int]]
    """Of each operation: those that made its operands, as far as they have gradients."""
    leaves: Mapping[int, int]
    """``id`` of a parameter -> its position."""

    @cached_property
    def consumers(self) -> Sequence[Sequence[int]]:
        """Of each operation: those that took its result."""
        found: list[list[int]] = [[] for _ in self.kinds]
        for node, operands in enumerate(self.inputs):
            for operand in set(operands):
                found[operand].append(node)
        return found


def graph_of(loss: Tensor) -> Graph | None:
    """The graph behind ``loss``; None if it has none or too large a one. Reads no number."""
    if loss.grad_fn is None:
        return None
    # The nodes themselves are the keys: a position is only good while its node is alive.
    positions: dict[Any, int] = {loss.grad_fn: 0}
    nodes: list[Any] = [loss.grad_fn]
    inputs: list[tuple[int, ...]] = []
    for node in nodes:  # grows as it goes
        operands = [operand for operand, _ in node.next_functions if operand is not None]
        for operand in operands:
            if operand not in positions:
                positions[operand] = len(nodes)
                nodes.append(operand)
        if len(nodes) > LARGEST:
            return None
        inputs.append(tuple(positions[operand] for operand in operands))
    leaves = {
        id(node.variable): i
        for i, node in enumerate(nodes)
        if getattr(node, "variable", None) is not None
    }
    return Graph([operation(node) for node in nodes], inputs, leaves)


def operation(node: Any) -> str:
    """Name of what a node of autograd's is the derivative of: ``Addmm``, ``NllLoss``."""
    return _NUMBERED.sub("", node.name())
