"""Log directories and an engine, joined."""

from __future__ import annotations

import shutil
from pathlib import Path

from monitor.follower import Follower
from monitor.notices import document
from monitor.rules import load
from tests.events import Run, falling, nan_at, write_run


def follower(logdir: Path) -> Follower:
    return Follower([logdir], load(None))


def test_catching_up_gives_every_run_a_view(tmp_path: Path) -> None:
    write_run(tmp_path / "sick", {"loss": nan_at(40)})
    write_run(tmp_path / "well", {"loss": falling()})
    heard: list[tuple[int, int]] = []
    one = follower(tmp_path)
    one.catch_up(lambda done, left: heard.append((done, left)))
    assert set(one.views) == {"sick", "well"}
    assert [(a.run, a.fired.step) for a in one.alerts()] == [("sick", 40)]
    assert heard[-1][1] == 0


def test_what_is_written_later_is_read_later(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    one = follower(tmp_path)
    one.catch_up()
    run.log(loss=1.0)
    run.flush()
    assert one.read() == {"run"}
    assert one.read() == frozenset()
    run.close()


def test_a_run_whose_files_are_gone_is_forgotten(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"loss": falling(5)})
    one = follower(tmp_path)
    one.catch_up()
    shutil.rmtree(tmp_path / "run")
    assert one.rescan() == {"run"}
    assert one.views == {}
    assert list(one.engine.runs) == []


def test_following_and_catching_up_agree(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    live = follower(tmp_path)
    live.catch_up()
    for loss in nan_at(40):
        run.log(loss=loss)
        run.flush()
        live.read()
    run.close()
    live.read()
    replayed = follower(tmp_path)
    replayed.catch_up()
    said = [document(alert) for alert in live.alerts()]
    assert said == [document(alert) for alert in replayed.alerts()]
    assert len(said) == 1
