"""What is made from the code is what is there, and says what a reader needs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from monitor.cli import main
from monitor.detectors import DETECTORS
from monitor.rules import default_path, load
from monitor.rules.params import params_of
from tests.pages import generated, stale
from tests.pages.detectors import page
from tests.pages.markdown import paragraphs, sections, table
from tests.pages.metrics import families
from tests.pages.rulefile import shipped
from tests.pages.settings import ENVIRONMENT, commands

ROOT = Path(__file__).parents[2]
PAGES = generated()


@pytest.mark.parametrize("path", PAGES)
def test_what_is_there_is_what_is_made(path: str) -> None:
    file = ROOT / path
    assert file.exists(), "run: make docs"
    assert file.read_text() == PAGES[path], "run: make docs"


def test_no_page_is_left_of_a_detector_that_is_no_more() -> None:
    assert stale(ROOT) == [], "run: make docs"


@pytest.mark.parametrize("name", DETECTORS)
def test_a_page_has_every_section_parameter_and_rule(name: str) -> None:
    text = PAGES[f"docs/detectors/{name}.md"]
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    needed = {"What it sees", "Parameters", "When it stays quiet", "Source", "Default rules"}
    assert needed <= set(headings), "the docstring lacks a paragraph: Sees, Defaults:, ..."
    assert len(headings) == len(set(headings))
    for param in params_of(DETECTORS[name]):
        assert f"\n| `{param}` |" in text
    alerts = {r.alert for r in load(None).rules if r.detector.name == name}
    assert set(re.findall(r"^### (\w+):", text, re.MULTILINE)) == alerts


@pytest.mark.parametrize("path", [path for path in PAGES if path.endswith(".md")])
def test_nothing_of_the_docstrings_notation_is_left(path: str) -> None:
    assert "``" not in PAGES[path].replace("```", "")
    assert not re.search(r":\w+:`", PAGES[path])


@pytest.mark.parametrize("path", [path for path in PAGES if path.endswith(".md")])
def test_links_lead_somewhere(path: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGES[path]):
        target = ((ROOT / path).parent / link).resolve()
        assert target.exists() or str(target.relative_to(ROOT)) in PAGES


def test_the_rules_are_those_that_are_loaded() -> None:
    found = {(r.alert, r.detector, r.severity) for r in shipped(default_path().read_text())}
    rules = load(None).rules
    assert found == {(r.alert, r.detector.name, r.severity.label) for r in rules}


def test_it_is_said_which_alerts_hide_another() -> None:
    text = """
groups:
  - rules:
      - {alert: A, detect: x, labels: {severity: critical}}
      - {alert: B, detect: x}
      - {alert: C, detect: y, labels: {severity: info}}
inhibit:
  - {source: {alert: A}, target: {severity: [warning, info]}}
  - {source: {severity: warning}, target: {detector: y}}
"""
    assert {rule.alert: rule.hidden_by for rule in shipped(text)} == {
        "A": (),
        "B": ("A",),
        "C": ("A", "B"),
    }


def test_a_docstring_becomes_markdown() -> None:
    """Roles, code and lists."""
    found = sections(
        """First ``a`` and :class:`~monitor.b.C`.

        Sees x, if

        * ``one``
          goes on;

        Defaults: ``n`` 5::

            for example

        Source: us.
        """,
        (("Sees", "Seen"), ("Defaults:", "Why"), ("Source:", "From")),
    )
    assert found == {
        "": ["First `a` and `C`."],
        "Seen": ["Sees x, if", "* `one`\n  goes on;"],
        "Why": ["`n` 5:", "    for example"],
        "From": ["Us."],
    }
    assert paragraphs("a\n\n\n   b") == ["a", "b"]
    assert table(("x",), [("a|b\nc",)]) == "| x |\n| --- |\n| a\\|b c |"


@dataclass(frozen=True)
class Odd:
    """Something odd.

    Sees it.
    """

    limit: float | None = field(default=None, metadata={"unit": "value", "doc": "of ``x``"})
    need: int = field(kw_only=True, metadata={"unit": "steps", "doc": "must"})

    name: ClassVar[str] = "odd"

    def listen(self) -> None: ...


def test_a_detector_without_rules_has_a_page() -> None:
    text = page("odd", Odd, [])
    assert "| `limit` | number or null | value | none | of `x` |" in text
    assert "| `need` | whole number | steps | has to be given | must |" in text
    assert "Kind: pulse" in text
    assert "None: it is for rules of your own." in text


def test_every_metric_has_a_sample_and_a_meaning() -> None:
    for family in families():
        assert family.documentation
        assert family.samples, f"{family.name}: its labels cannot be told"


def test_every_option_is_on_the_page_of_settings() -> None:
    text = PAGES["docs/settings.md"]
    for name, command in commands(main, "monitor"):
        assert f"## `{name}`" in text
        for param in command.params:
            assert param.param_type_name == "argument" or param.opts[0] in text
            assert param.param_type_name == "argument" or getattr(param, "help", None), param.name


def test_every_variable_of_ours_is_on_the_page_of_settings() -> None:
    read = re.compile(r"\b(MONITOR_[A-Z_]+)")
    used = {
        name for path in (ROOT / "monitor").rglob("*.py") for name in read.findall(path.read_text())
    }
    told = {name for name, _, _ in ENVIRONMENT}
    assert {name for name in used if not name.startswith("MONITOR_TEST")} <= told
