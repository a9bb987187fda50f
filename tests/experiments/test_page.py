"""The page about preflight: its example runs and prints what is shown, its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import monitor  # noqa: E402
from monitor.experiments import CHECKS, PreflightFailed  # noqa: E402
from monitor.experiments.script import TARGETS  # noqa: E402

PAGE = (Path(__file__).parents[2] / "docs" / "preflight.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def words(text: str) -> list[str]:
    """Without numbers, which differ from machine to machine, and without line breaks."""
    return re.sub(r"\d[\d.,e+-]*", "0", text).split()


def test_the_example_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    example, assertions = blocks("python")
    names: dict[str, Any] = {}
    before = torch.random.get_rng_state()
    try:
        exec(example, names)
    finally:
        torch.random.set_rng_state(before)
    (shown,) = blocks("text")
    assert words(capsys.readouterr().out) == words(shown)
    with pytest.raises(PreflightFailed):
        exec(assertions, names)


def test_everything_is_in_the_tables() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == CHECKS
    given = PAGE.split("## What it is given")[1].split("##")[0]
    assert all(f"`{key}`" in given for key in TARGETS)
    options = set(monitor.preflight.__annotations__) - {"model", "return"}
    assert {option for option in options if option not in given} == set()
