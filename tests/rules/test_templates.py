"""Templates: what is replaced, and what is refused when rules are loaded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.rules import render
from monitor.rules.templates import VARIABLES, mistakes


def test_names_in_braces_are_replaced() -> None:
    assert render("{{ run }}: {{step}} }} { {{ run }}", {"run": "a", "step": "3"}) == "a: 3 }} { a"


def test_values_are_not_templates() -> None:
    assert render("{{ run }}", {"run": "{{ step }}", "step": "3"}) == "{{ step }}"


def test_what_has_no_value_is_unknown() -> None:
    assert render("lr {{ learning_rate }}", {}) == "lr unknown"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ stpe }}", "unknown template variable 'stpe'; did you mean 'step'?"),
        ("{{ $value }}", "'{{ $value }}': expected a name in braces, did you mean '{{ value }}'?"),
        ("{{ $labels.run }}", "did you mean '{{ run }}'?"),
        ("{{ value | humanize }}", "expected a name in braces"),
        ("{{ }}", "expected a name in braces, such as '{{ run }}'"),
        ("at {{ step", "'{{' without '}}' in '{{ step'"),
    ],
)
def test_mistakes(template: str, says: str) -> None:
    (mistake,) = mistakes(template)
    assert says in mistake


def test_every_mistake_is_found() -> None:
    assert len(list(mistakes("{{ a }} {{ run }} {{ b }} {{"))) == 3


@given(st.lists(st.one_of(st.text("{} ab", max_size=4), st.sampled_from(["{{ run }}", "{{"]))))
@settings(deadline=None)
def test_a_template_without_mistakes_leaves_no_braces_open(parts: list[str]) -> None:
    template = "".join(parts)
    if not list(mistakes(template)):
        assert "{{" not in render(template, dict.fromkeys(VARIABLES, "x"))
