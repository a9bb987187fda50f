"""The pages about rules of one's own: what they show is what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.detectors.expression import Expression
from monitor.detectors.expression.functions import FUNCTIONS
from monitor.detectors.expression.parse import parse
from monitor.detectors.expression.program import MOST_KEPT
from monitor.rules import parse as parse_rules
from monitor.rules.roles import BUILTIN
from monitor.ruletests.notation import parse as parse_values

DOCS = Path(__file__).parents[1] / "docs"
EXPRESSIONS = (DOCS / "expressions.md").read_text()
TESTING = (DOCS / "testing-rules.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


EXAMPLES = blocks(EXPRESSIONS, "expr")[0].splitlines()


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_example_is_an_expression_over_known_roles(text: str) -> None:
    detector = Expression(text)
    assert {word.text for word in detector.words} <= BUILTIN.keys()
    assert all(text[word.offset :].startswith(word.text) for word in detector.words)


def test_there_is_an_explanation_for_each_example() -> None:
    said = EXPRESSIONS.split("In turn: ")[1].split("\n\n")[0]
    assert len(said.split(";")) == len(EXAMPLES)


def test_the_rules_shown_are_good_and_among_the_examples() -> None:
    (shown,) = blocks(EXPRESSIONS, "yaml")
    rules = parse_rules(shown, "page").rules
    examples = parse_rules((DOCS / "examples" / "rules.yaml").read_text(), "file").rules
    assert [(r.alert, r.detector) for r in rules] == [(r.alert, r.detector) for r in examples]


def test_every_function_is_in_the_table_as_it_is() -> None:
    section = EXPRESSIONS.split("## Functions")[1].split("##")[0]
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    assert [(name, reach, doc) for name, _, reach, doc in rows] == [
        (f.name, f.reach.value, f.doc) for f in FUNCTIONS.values()
    ]
    for name, arguments, _, _ in rows:
        call = f"{name}({arguments})"
        for letter, meant in (("q", "0.5"), ("n", "5"), ("c", "x > 1")):
            call = re.sub(rf"\b{letter}\b", meant, call)
        assert parse(f"{call} > 0")


def test_the_limits_are_said() -> None:
    assert f"at most {MOST_KEPT:,} points" in EXPRESSIONS


def test_the_tests_shown_are_those_of_the_example() -> None:
    (shown,) = blocks(TESTING, "yaml")
    assert shown == (DOCS / "examples" / "tests.yaml").read_text()


def test_each_notation_shown_can_be_read() -> None:
    section = TESTING.split("## Values")[1]
    written = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert len(written) == 6
    for cell in written:
        for text in re.findall("`(.*?)`", cell):
            assert len(parse_values(text)[0])
