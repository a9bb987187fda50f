"""Pictures over HTTP: drawn by the command in another process, kept, and refused with a reason."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from tests.events import NAN, Run, falling
from tests.processes import Watch, eventually, run, watching

pytest.importorskip("matplotlib")


def fetched(watch: Watch, path: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(watch.address + path, timeout=60) as answer:
        return answer.headers["content-type"], answer.read()


def test_runs_and_alerts_have_pictures(tmp_path: Path) -> None:
    training = Run(tmp_path / "a b" / "<i>")
    for loss in [*falling(40), NAN]:
        training.log(loss=loss)
    training.close()
    with watching(tmp_path) as watch:
        eventually(watch.alerts)
        where = "/runs/a%20b/%3Ci%3E"
        kind, drawn = fetched(watch, f"{where}/alert/NaNWithinFirstSteps-40.png")
        assert kind == "image/png"
        assert drawn.startswith(b"\x89PNG")
        made = run(
            *("plot", tmp_path, "--run", "a b/<i>", "--alert", "NaNWithinFirstSteps-40"),
            *("-o", tmp_path / "same.png"),
        )
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "same.png").read_bytes() == drawn
        assert fetched(watch, f"{where}/alert/NaNWithinFirstSteps-40.png")[1] == drawn
        kind, drawn = fetched(watch, f"{where}.svg")
        assert kind == "image/svg+xml"
        assert b"NaNWithinFirstSteps" in drawn
        assert b"&lt;i&gt;" in drawn
        for path in (f"{where}.gif", "/runs/nobody.png", f"{where}/alert/Other-1.png"):
            assert watch.get(path)[0] == 404
        assert watch.get("/-/healthy")[0] == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "x.gif"], "ends with .png or .svg"),
        (["-o", "x.png", "--run", "nobody"], "no run is called 'nobody'"),
        (["-o", "/nowhere/x.png"], "cannot write /nowhere/x.png"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments: list[str], said: str, tmp_path: Path) -> None:
    training = Run(tmp_path)
    for loss in falling(10):
        training.log(loss=loss)
    training.close()
    done = run("plot", tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
