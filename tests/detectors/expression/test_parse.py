"""The language: what is read, what is refused, and where the mistake is said to be."""

# ruff: noqa: E501 - a message is read in one piece

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detectors.expression.functions import FUNCTIONS
from monitor.detectors.expression.parse import DEEPEST, MOST_PARTS, parse
from monitor.detectors.expression.tokens import LONGEST_TEXT, Mistake
from monitor.detectors.expression.tree import Binary, Node, Number, Series, Unary, write
from tests.detectors.expression.strategies import conditions


@given(conditions())
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_as_the_same(tree: Node) -> None:
    assert parse(write(tree)) == tree


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a + b * c > d", "a + (b * c) > d"),
        ("a - b - c > d", "(a - b) - c > d"),
        ("a / b / c > d", "(a / b) / c > d"),
        ("-a * b > d", "(-a) * b > d"),
        ("a > 1 or b > 1 and not c > 1", "a > 1 or (b > 1 and (not (c > 1)))"),
        ("min(a, 5 steps) > 1", "min( a,5 )>1.0"),
        ("min(a, 1 point) > .5", "min(a, 1 points) > 0.5"),
        ("a\n  > 1", "a > 1"),
    ],
)
def test_signs_bind_as_everywhere(text: str, same: str) -> None:
    assert parse(text) == parse(same)


def test_the_tree_of_a_small_one() -> None:
    assert parse("not train_loss <= -2") == Unary(
        "not", Binary("<=", Series("train_loss"), Unary("-", Number(2.0)))
    )


MISTAKES = {
    "": (0, "expected a number, a series or a function, found the end"),
    "train_loss >": (11, "expected a number, a series or a function, found the end"),
    "train_loss > > 2": (13, "expected a number, a series or a function, found '>'"),
    "train_loss": (0, "an expression needs a condition, and this is a number: compare it, e.g. with '> 2'"),
    "1 + train_loss": (0, "an expression needs a condition, and this is a number: compare it, e.g. with '> 2'"),
    "a > 1 and b": (10, "'and' needs a condition, and this is a number: compare it, e.g. with '> 2'"),
    "a + (b > 1) > 2": (5, "'+' needs numbers, and this is a condition"),
    "-(b > 1) > 2": (2, "'-' needs numbers, and this is a condition"),
    "not a": (4, "'not' needs a condition, and this is a number: compare it, e.g. with '> 2'"),
    "1 < a < 2": (6, "comparisons cannot be chained: write a < b and b < c"),
    "1 < not a > 2": (4, "put 'not ...' in parentheses here"),
    "a = 1": (2, "unexpected '=': write == to compare"),
    "a > 1 & b > 1": (6, "unexpected '&': write 'and'"),
    "a ^ 2 > 1": (2, "unexpected '^': there are no powers"),
    "a > 1; b": (5, "unexpected ';'"),
    "tag('x > 1": (4, "unexpected \"'\": the quote is never closed"),
    "medain(a, 5) > 1": (0, "unknown function 'medain'; did you mean 'median'? (there are: " + ", ".join([*FUNCTIONS, "tag"]) + ")"),
    "median > 1": (0, "'median' is a function: expected '(' after it, found '>'"),
    "median(a) > 1": (0, "median() needs a window: median(..., 50)"),
    "quantile(a, 5) > 1": (12, "expected a number from 0 to 1, found '5'"),
    "quantile(a, 0.5) > 1": (0, "quantile() needs a window: quantile(..., 0.9, 50)"),
    "median(a, b) > 1": (10, "expected a window such as 50, 50 steps or 50 points, found 'b'"),
    "median(a, 1.5) > 1": (10, "expected a window such as 50, 50 steps or 50 points, found '1.5'"),
    "median(a, 0) > 1": (10, "expected a window such as 50, 50 steps or 50 points, found '0'"),
    "median(a, 5 setps) > 1": (12, "expected 'steps', 'points' or ')', found 'setps'"),
    "median(a, 3000 points) > 1": (10, "a window of at most 2000 points is possible"),
    "median(a > 1, 5) > 1": (7, "median() needs numbers, and this is a condition"),
    "count(a, 5) > 1": (6, "count() needs a condition, and this is a number: compare it, e.g. with '> 2'"),
    "abs(a, 5) > 1": (5, "abs() has no window: expected ')', found ','"),
    "min(a, 5, 6) > 1": (8, "expected ')', found ','"),
    "min(a > 1": (4, "min() needs numbers, and this is a condition"),
    "(a > 1": (5, "expected ')' or a sign, found the end"),
    "a > 1)": (5, "expected a sign such as > or 'and', found ')'"),
    "a > 1 b": (6, "expected a sign such as > or 'and', found 'b'"),
    "'a' > 1": (0, "expected a number, a series or a function, found 'a': write tag('a')"),
    "tag(a) > 1": (4, "expected a tag in quotes, found 'a'"),
    "a > 1e999": (4, "1e999 is too large"),
    "and > 1": (0, "expected a number, a series or a function, found 'and'"),
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES, ids=list(MISTAKES))
def test_a_mistake_is_told_where_it_stands(text: str) -> None:
    with pytest.raises(Mistake) as caught:
        parse(text)
    assert (caught.value.at, caught.value.message) == MISTAKES[text]


PIECES = [
    "a",
    "1",
    "(",
    ")",
    ",",
    "-",
    "+",
    ">",
    "and",
    "not",
    "min",
    "tag",
    '"x"',
    " ",
    "5 points",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map(" ".join)))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_inside_it(text: str) -> None:
    tree, refused = None, None
    try:
        tree = parse(text)
    except Mistake as mistake:
        refused = mistake
    if refused is not None:
        assert 0 <= refused.at <= max(0, len(text) - 1)
        assert refused.message
    else:
        assert tree is not None
        assert parse(write(tree)) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1) + " > 1", "deep"),
        ("-" * 500 + "a > 1", "deep"),
        ("a" + " + a" * MOST_PARTS + " > 1", "parts"),
        ("a > 1" + " " * LONGEST_TEXT, "characters"),
    ],
)
def test_what_is_too_much_is_refused(text: str, message: str) -> None:
    with pytest.raises(Mistake, match=message):
        parse(text)
