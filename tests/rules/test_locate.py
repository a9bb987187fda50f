"""YAML with positions: what plain values mean, and where mistakes are."""

from __future__ import annotations

import contextlib
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.rules import RulesInvalid
from monitor.rules.locate import read


def value(text: str) -> object:
    document = read(text, "f")
    assert not document.errors
    return document.value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-12", -12),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("2026-11-23", "2026-11-23"),
        ("'010'", "010"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("9" * 500, "9" * 500),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, meant: object) -> None:
    assert value(f"a: {text}") == {"a": meant}
    assert type(value(text)) is type(meant)


def test_nan() -> None:
    found = value(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_keys_are_text() -> None:
    assert value("{on: 1, 2: 3, null: 4}") == {"on": 1, "2": 3, "null": 4}


def test_aliases_stand_for_their_value() -> None:
    assert value("a: &x [1]\nb: *x\n") == {"a": [1], "b": [1]}


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\na: 2\n", "f:2:1: key 'a' was already given on line 1"),
        ("a: 010\n", "f:1:4: 010 is octal to some YAML readers and decimal to others: write 10"),
        ("a: !x 1\n", "f:1:4: YAML tags such as '!x' are not supported"),
        ("a: !!python/object:os.system x\n", "f:1:4: YAML tags such as"),
        ("? [a]\n: 1\n", "f:1:3: a key must be plain text"),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "f:2:5: merge keys (<<) are not supported"),
        ("a: &x [*x]\n", "f:1:4: an alias cannot stand within what it stands for"),
        ('a: "\\ud800"\n', "f:1:4: '\\ud800' is not valid Unicode"),
    ],
)  # fmt: skip
def test_mistakes_that_leave_the_rest_readable(text: str, error: str) -> None:
    (found,) = read(text, "f").errors
    assert str(found).startswith(error)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [1, 2\nb: 3\n", "f:2:2: not valid YAML: while parsing a flow sequence"),
        ("a: 1\n\tb: 2\n", "f:2:1: not valid YAML: while scanning for the next token"),
        ("a: b: c\n", "f:1:5: not valid YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "f:2:1: not valid YAML: expected a single document"),
        ("a: *x\n", "f:1:4: not valid YAML: found undefined alias 'x'"),
        ("a: 1\nb: \x07\n", "f:2:4: character '\\x07' is not allowed in YAML"),
        ("a: \ud800\n", "f:1:4: character '\\ud800' is not allowed in YAML"),
        ('"\\UFFFFFFFF"', "f:1:4: not valid YAML"),
        ('"\\U00110000"', "f:1:4: not valid YAML"),
        ("%YAML " + "9" * 5000 + ".1\n--- a", "f:1:"),
        ("[" * 5000, "f:1:1: nested too deeply"),
        (BOMB, "f:1:1: more than 50000 values"),
    ],
)
def test_what_cannot_be_read_at_all(text: str, error: str) -> None:
    with pytest.raises(RulesInvalid) as caught:
        read(text, "f")
    assert str(caught.value).startswith(error)


@given(st.text(st.sampled_from("ab01:- \n\t[]{},&*!|>'\"\\%#?~<ü\x00U")))
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RulesInvalid):
        read(text, "f")


WRITTEN = st.text(alphabet="ab 'x\"(>:#-\\é", min_size=1, max_size=60)


@given(WRITTEN, st.sampled_from([None, "'", '"', "|", ">"]), st.integers(0, 59), st.integers(8, 60))
@settings(max_examples=400, deadline=None)
def test_a_place_within_a_text_is_found_however_it_is_written(
    text: str, style: str | None, offset: int, width: int
) -> None:
    source = yaml.safe_dump(
        {"a": {"b": text}}, default_style=style, width=width, allow_unicode=True
    )
    document = read(source, "f")
    if document.value != {"a": {"b": text}}:
        return  # written as something else than text
    offset %= len(text)
    document.error(("a", "b"), "here", offset=offset)
    (error,) = document.errors
    line = source.split("\n")[error.line - 1]
    if not text[offset].isspace():
        assert line[error.column - 1] == text[offset]
        before = source.split("\n")[: error.line - 1]
        seen = "".join(before) + line[: error.column - 1]
        assert seen.count("é") >= text[:offset].count("é")
    assert 1 <= error.column <= len(line) + 1


def test_a_place_in_what_cannot_be_followed_is_that_of_the_text() -> None:
    document = read('a: "\\x61\\x62 c"', "f")
    document.error(("a",), "here", offset=1)
    (error,) = document.errors
    assert (error.line, error.column) == (1, 4)
