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
    one = Follower([tmp_path], load(None), forget_after=0.0)
    one.catch_up()
    shutil.rmtree(tmp_path / "run")
    assert one.rescan() == {"run"}
    assert one.views == {}
    assert list(one.engine.runs) == []


def test_a_run_whose_files_are_gone_is_not_forgotten_at_once(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"loss": falling(5)})
    one = follower(tmp_path)
    one.catch_up()
    (tmp_path / "run").rename(tmp_path.parent / "elsewhere")
    assert one.rescan() == frozenset()
    assert one.views["run"].last_step == 4
    (tmp_path.parent / "elsewhere").rename(tmp_path / "run")
    assert one.rescan() == frozenset()
    assert one.read() == frozenset()


def test_catching_up_ends_although_the_runs_go_on(tmp_path: Path) -> None:
    runs = [Run(tmp_path / str(i)) for i in range(3)]
    for run in runs:
        run.log(loss=1.0)
        run.flush()
    one = follower(tmp_path)

    def write_more(done: int, left: int) -> None:
        for run in runs:
            run.log(loss=1.0)
            run.flush()

    one.catch_up(write_more)
    assert all(view.last_step < 5 for view in one.views.values())
    for run in runs:
        run.close()


def test_catching_up_ends_when_told_to(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"loss": falling(5)})
    one = follower(tmp_path)
    one.catch_up(stop=lambda: True)
    assert set(one.views) <= {"run"}


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
