"""``monitor top``: its states, and the real command at a terminal that an emulator reads."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.terminal.keys import named
from monitor.terminal.text import plain, shortened, sparkline
from monitor.terminal.top import SORTS, State, chosen, press
from tests.events import NAN, Run, falling
from tests.processes import run
from tests.terminal.emulated import terminal
from tests.terminal.test_tables import view

VIEWS = [view("a-well", -1.0), view("b-sick", 1.0), view("c-well", -1.0)]


def after(*keys: str, state: State | None = None) -> State:
    state = state or State()
    for key in keys:
        state = press(state, key, chosen(state, VIEWS))
    return state


def test_keys_move_open_filter_and_sort() -> None:
    assert [v.run for v in chosen(State(), VIEWS)] == ["b-sick", "a-well", "c-well"]
    assert after("down", "j", "down", "down").selected == 2
    assert after("down", "k", "up", "pageup").selected == 0
    assert after("enter").opened == "b-sick"
    assert after("enter", "escape").opened is None
    assert after("enter", "enter").opened is None
    assert after("s").sort == "newest"
    assert after(*["s"] * len(SORTS)).sort == "health"
    typed = after("/", *"well", "backspace", "q")
    assert (typed.words, typed.typing, typed.over) == ("welq", True, False)
    found = after("/", *"sick", "enter")
    assert [v.run for v in chosen(found, VIEWS)] == ["b-sick"]
    assert after("escape", state=found).words == ""
    assert after("q").over


@given(st.lists(st.sampled_from([*"qjks/x", "up", "down", "enter", "escape", "pagedown"])))
def test_no_sequence_of_keys_selects_what_is_not_there(keys: list[str]) -> None:
    state = after(*keys)
    assert state.selected == 0 or state.selected < len(VIEWS)


@given(st.text(), st.integers(1, 60))
def test_names_fit_and_are_harmless(name: str, width: int) -> None:
    shown = shortened(plain(name), width)
    assert cell_len(shown) <= width
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        ([], 5, ""),
        ([1.0, 2.0, 3.0, 4.0], 4, "▁▃▆█"),
        ([1.0, float("nan"), 2.0], 3, "▁x█"),
        ([float("nan")] * 8, 4, "xxxx"),
        ([5.0] * 8, 4, "▁▁▁▁"),
        ([-1e308, 1e308], 2, "▁█"),
    ],
)
def test_a_curve_in_a_line(values: list[float], width: int, expected: str) -> None:
    import numpy as np

    assert sparkline(np.array(values), width) == expected


def test_keys_have_names() -> None:
    assert named(b"\x1b[A") == ["up"]
    assert named(b"jq\r") == ["j", "q", "enter"]
    assert named(b"\x1b[1;5Q") == []
    assert named(b"\x1b/a\x1bOB") == ["escape", "/", "a", "down"]
    assert named("é\x00\xff".encode("latin-1")) == []


HOSTILE = "evil\x1b[31m\x1b]0;title\x07[bold]損失"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for name, ends in {"sick": [NAN], "well": [], HOSTILE: []}.items():
        training = Run(tmp_path / name)
        for loss in [*falling(60), *ends]:
            training.log(loss=loss)
        training.close()
    return tmp_path


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 60)])
def test_every_size_of_a_terminal(size: tuple[int, int], logs: Path) -> None:
    with terminal("top", logs, size=size) as screen:
        screen.until(lambda: "3 runs" in screen.text)
        assert "sick" in screen.text
        assert "NaNWi" in screen.text
        assert size[0] < 80 or "[bold]" in screen.text, "names are no markup"
        assert b"\x1b]0;title" not in screen.raw, "nor anything that a terminal obeys"
        before = screen.modes
        screen.press("\r")
        screen.until(lambda: "critical" in screen.text)
        screen.resize(60, 20)
        screen.press("\x1b")
        screen.until(lambda: "3 runs" in screen.text)
        screen.press("/well\r")
        screen.until(lambda: "1 of 3 runs" in screen.text)
        assert "sick" not in screen.text
        screen.press("q")
        assert screen.ended() == 0
        assert b"\x1b[?1049l" in screen.raw, "the screen is as it was"
        assert screen.modes != before
        assert screen.modes[3] & 2, "line by line again"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_terminal_is_as_it_was_after_a_signal(number: signal.Signals, logs: Path) -> None:
    with terminal("top", logs) as screen:
        before = screen.modes
        screen.until(lambda: "3 runs" in screen.text)
        screen.process.send_signal(number)
        assert screen.ended() == 0
        assert screen.modes == before
        assert b"\x1b[?1049l" in screen.raw


def test_what_is_new_appears(logs: Path) -> None:
    with terminal("top", logs) as screen:
        screen.until(lambda: "3 runs" in screen.text)
        training = Run(logs / "well")
        for step, loss in enumerate([1.0, NAN], start=60):
            training.log(step=step, loss=loss)
        training.close()
        screen.until(lambda: screen.text.count("NaNWithin") + screen.text.count("LossBecame") == 2)


def test_no_colour_is_respected(logs: Path) -> None:
    with terminal("check", logs, environment={"NO_COLOR": "1"}) as screen:
        assert screen.ended() == 1
        assert "NaNWithinFirstSteps" in screen.text
        assert b"\x1b[31m" not in screen.raw
        assert b"\x1b[1;31m" not in screen.raw


@pytest.mark.parametrize("environment", [None, {"TERM": "dumb"}])
def test_without_a_terminal_the_runs_are_printed_once(
    environment: dict[str, str] | None, logs: Path
) -> None:
    if environment is None:
        done = run("top", logs)
        assert done.returncode == 0
        text = done.stdout
    else:
        with terminal("top", logs, environment=environment) as screen:
            assert screen.ended() == 0
            text = screen.text
    assert "NaNWithinFirstSteps" in text
    assert "well" in text
    assert "\x1b" not in text


def test_check_shows_names_harmlessly(logs: Path) -> None:
    training = Run(logs / f"{HOSTILE}2")
    for loss in [*falling(60), NAN]:
        training.log(loss=loss)
    training.close()
    with terminal("check", logs) as screen:
        assert screen.ended() == 1
        assert b"\x1b]0;title" not in screen.raw
        assert "[bold]" in screen.text
