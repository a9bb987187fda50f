"""Trees of expressions, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from monitor.detectors.expression.functions import FUNCTIONS, Function, Reach
from monitor.detectors.expression.tree import (
    COMPARISONS,
    Binary,
    Call,
    Node,
    Number,
    Series,
    Span,
    Unary,
)

SPANS = st.builds(Span, st.integers(1, 12), st.sampled_from(["steps", "points"]))
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(Number, st.sampled_from([0.0, 1.0, 2.0, 0.5, 1e-7, 123456.75, 3e20])),
    st.builds(Series, st.sampled_from(["value", "step", "train_loss", "tag:a/b c", 'tag:"q"'])),
)


def _calls(function: Function, operand: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    spans: dict[Reach, st.SearchStrategy[Span | None]] = {
        Reach.POINT: st.none(),
        Reach.WINDOW: SPANS,
        Reach.EITHER: st.none() | SPANS,
    }
    shares = st.sampled_from([0.0, 0.1, 0.5, 1.0]) if function.share else st.none()
    return st.builds(Call, st.just(function.name), operand, spans[function.reach], shares)


def numbers(depth: int = 3) -> st.SearchStrategy[Node]:
    """Trees that are numbers."""
    if depth == 0:
        return LEAVES
    below = numbers(depth - 1)
    calls = [
        _calls(f, conditions(depth - 1) if f.of_condition else below) for f in FUNCTIONS.values()
    ]
    return st.one_of(
        LEAVES,
        st.builds(Unary, st.just("-"), below),
        st.builds(Binary, st.sampled_from("+-*/"), below, below),
        st.one_of(calls),
    )


def conditions(depth: int = 3) -> st.SearchStrategy[Node]:
    """Trees that are true or false."""
    side = numbers(max(0, depth - 1))
    compared = st.builds(Binary, st.sampled_from(COMPARISONS), side, side)
    if depth <= 0:
        return compared
    below = conditions(depth - 1)
    return st.one_of(
        compared,
        st.builds(Unary, st.just("not"), below),
        st.builds(Binary, st.sampled_from(["and", "or"]), below, below),
    )
