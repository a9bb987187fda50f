"""Discovery, names of runs, fair reading, files that come and go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from monitor.sources import logdir
from monitor.sources.logdir import LogDirs
from monitor.sources.scan import problem
from tests.sources.test_cursor import record


def put(directory: Path, *steps: int, name: str = "events.out.tfevents.1.host") -> Path:
    """Appends ``steps`` to an event file in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open("ab") as file:
        file.write(b"".join(record(step) for step in steps))
    return directory / name


def scanned(*roots: Path) -> LogDirs:
    dirs = LogDirs(roots, forget_after=0.0)
    dirs.rescan()
    return dirs


def steps(dirs: LogDirs, limit: int = 1 << 20) -> Mapping[str, list[int]]:
    """Steps that came new, per run, read until nothing is left."""
    found: dict[str, list[int]] = {}
    while batches := dirs.read(limit):
        for batch in batches:
            for points in batch.points:
                found.setdefault(batch.run, []).extend(points.steps.tolist())
    assert dirs.backlog == 0
    return found


def test_runs_are_named_by_their_directories(tmp_path: Path) -> None:
    put(tmp_path, 1)
    put(tmp_path / "a", 2)
    put(tmp_path / "a" / "train" / ".deep", 3)
    (tmp_path / "a" / "notes.txt").write_text("no events")
    dirs = scanned(tmp_path)
    assert set(dirs.runs) == {".", "a", "a/train/.deep"}
    assert dirs.files == 3
    assert steps(dirs) == {".": [1], "a": [2], "a/train/.deep": [3]}
    assert steps(dirs) == {}
    assert dirs.stats.records == 3
    assert dirs.stats.bytes == 3 * len(record(1))


def test_writers_are_named_by_their_paths(tmp_path: Path) -> None:
    put(tmp_path, 1)
    put(tmp_path / "a", 2)
    writers = {batch.run: batch.writer for batch in scanned(tmp_path).read()}
    assert writers == {".": "events.out.tfevents.1.host", "a": "a/events.out.tfevents.1.host"}


def test_growth_and_new_files(tmp_path: Path) -> None:
    put(tmp_path / "a", 1)
    dirs = scanned(tmp_path)
    assert steps(dirs) == {"a": [1]}
    put(tmp_path / "a", 2, 3)
    put(tmp_path / "b", 1)
    assert steps(dirs) == {"a": [2, 3]}
    dirs.rescan()
    assert steps(dirs) == {"b": [1]}


def test_a_run_disappears_with_its_last_file(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a", 1), put(tmp_path / "a", 2, name="x.tfevents.2")
    dirs = scanned(tmp_path)
    steps(dirs)
    first.unlink()
    dirs.rescan()
    assert set(dirs.runs) == {"a"}
    second.unlink()
    dirs.rescan()
    assert (set(dirs.runs), dirs.files, dirs.backlog) == (set(), 0, 0)


def test_a_file_that_comes_back_is_another_writer(tmp_path: Path) -> None:
    put(tmp_path / "a", 1, name="z.tfevents.2")
    path = put(tmp_path / "a", 1)
    dirs = scanned(tmp_path)
    steps(dirs)
    path.unlink()
    dirs.rescan()
    put(tmp_path / "a", 1)
    dirs.rescan()
    (batch,) = dirs.read()
    assert batch.writer == "a/events.out.tfevents.1.host#2"


def test_late_events_in_the_older_of_two_files(tmp_path: Path) -> None:
    put(tmp_path, 1, name="events.out.tfevents.1")
    put(tmp_path, 2, name="events.out.tfevents.2")
    dirs = scanned(tmp_path)
    assert steps(dirs) == {".": [1, 2]}
    put(tmp_path, 7, name="events.out.tfevents.1")
    assert steps(dirs) == {".": [7]}


def test_files_of_a_run_are_read_in_order_however_small_the_pieces(tmp_path: Path) -> None:
    put(tmp_path, *range(50), name="events.out.tfevents.1")
    put(tmp_path, *range(50, 60), name="events.out.tfevents.2")
    assert steps(scanned(tmp_path), limit=100) == {".": list(range(60))}


def test_a_huge_file_does_not_starve_a_small_one(tmp_path: Path) -> None:
    put(tmp_path / "huge", *range(1000))
    put(tmp_path / "small", 1, 2)
    dirs = scanned(tmp_path)
    batches = dirs.read(limit=300)
    sizes = {batch.run: len(batch.points[0].steps) for batch in batches}
    assert sizes["small"] == 2
    assert sizes["huge"] < 10
    assert dirs.backlog > 0
    assert steps(dirs, limit=300)["huge"][-1] == 999


def test_nothing_means_that_nothing_is_left(tmp_path: Path) -> None:
    """Noise alone does not end a pass."""
    path = put(tmp_path)
    path.write_bytes(b"\xff" * 5000 + record(1))
    assert steps(scanned(tmp_path), limit=100) == {".": [1]}


def test_idle_files_are_looked_at_less_often_the_more_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, cost = [1000.0], [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.thread_time", lambda: cost.pop(0) if cost else 0.0)
    put(tmp_path / "idle", 1)
    put(tmp_path / "busy", 1)
    dirs = scanned(tmp_path)
    assert steps(dirs) == {"busy": [1], "idle": [1]}
    now[0] += logdir.IDLE_AFTER_SECONDS - 1
    put(tmp_path / "busy", 2)
    assert steps(dirs) == {"busy": [2]}
    now[0] += 2
    cost[:] = [0.0, 0.001]  # A look at all files takes 1 ms, so the next one is 400 ms away.
    assert steps(dirs) == {}
    put(tmp_path / "busy", 3)
    put(tmp_path / "idle", 3)
    now[0] += 0.3
    assert steps(dirs) == {"busy": [3]}
    now[0] += 0.101
    assert steps(dirs) == {"idle": [3]}


def test_final(tmp_path: Path) -> None:
    path = put(tmp_path, 1)
    path.write_bytes(record(1) + bytes(100))
    dirs = scanned(tmp_path)
    assert len(dirs.read(final=True)) == 1
    assert dirs.stats.corrupt_records == 1


REAL = Path(__file__).parents[2].parent / "shared" / "real"


def test_files_from_the_wild() -> None:
    if not REAL.is_dir():
        pytest.skip("the real event files are not on this machine")
    dirs = scanned(REAL)
    found = steps(dirs, limit=1000)
    assert len(found) > 10
    assert set(found) <= set(dirs.runs)
    assert dirs.files == len([path for path in REAL.rglob("*tfevents*") if path.is_file()])
    assert dirs.problems == {}
    assert dirs.stats.bytes == sum(path.stat().st_size for path in REAL.rglob("*tfevents*"))


# --- several roots ------------------------------------------------------------------------


def test_roots_with_equal_names(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one / "a", 1)
    put(two / "a", 2)
    put(one, 3)
    put(two, 4)
    found = steps(scanned(one, two))
    assert found == {"a": [1], f"{two}/a": [2], ".": [3], str(two): [4]}


def test_a_name_once_given_stays(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    put(two / "a", 2)
    dirs = scanned(one, two)
    put(one / "a", 1)
    dirs.rescan()
    assert steps(dirs) == {"a": [2], f"{one}/a": [1]}


def test_overlapping_roots_are_read_once(tmp_path: Path) -> None:
    path = put(tmp_path / "a", 1)
    assert steps(scanned(tmp_path, tmp_path / "a", path)) == {"a": [1]}


def test_a_root_may_be_one_file(tmp_path: Path) -> None:
    path = put(tmp_path, 1)
    put(tmp_path, 2, name="other.tfevents.2")
    assert steps(scanned(path)) == {".": [1]}


def test_a_root_that_vanishes_and_returns(tmp_path: Path) -> None:
    root = tmp_path / "root"
    dirs = scanned(root)
    assert dirs.problems == {str(root): f"no such directory: {root}"}
    put(root, 1)
    dirs.rescan()
    assert (dict(dirs.problems), steps(dirs)) == ({}, {".": [1]})
    root.rename(tmp_path / "away")
    assert steps(dirs) == {}
    dirs.rescan()
    assert (set(dirs.runs), set(dirs.problems)) == (set(), {str(root)})
    (tmp_path / "away").rename(root)
    dirs.rescan()
    assert steps(dirs) == {".": [1]}


def test_problem_for_the_command_line(tmp_path: Path) -> None:
    assert problem(tmp_path) is None
    assert problem(put(tmp_path, 1)) is None
    assert problem(tmp_path / "x") == f"no such directory: {tmp_path / 'x'}"


# --- links, names, permissions ------------------------------------------------------------


def test_links_are_followed_and_cycles_are_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root / "a", 1)
    put(tmp_path / "elsewhere" / "b", 2)
    (root / "a" / "up").symlink_to(root)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    assert steps(scanned(root)) == {"a": [1], "linked/b": [2]}


def test_a_run_linked_as_latest_is_one_run(tmp_path: Path) -> None:
    path = put(tmp_path / "version_3", 1)
    (tmp_path / "a_latest").symlink_to(tmp_path / "version_3")
    (tmp_path / "latest.tfevents").symlink_to(path)
    assert steps(scanned(tmp_path)) == {"version_3": [1]}


def test_a_linked_file(tmp_path: Path) -> None:
    path = put(tmp_path / "far", 1)
    (tmp_path / "root" / "run").mkdir(parents=True)
    (tmp_path / "root" / "run" / "events.tfevents").symlink_to(path)
    assert steps(scanned(tmp_path / "root")) == {"run": [1]}


def test_names_that_are_no_text(tmp_path: Path) -> None:
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/run\xff")
    except OSError:
        pytest.skip("this file system takes only text")
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/run\xff")), 1)
    assert steps(scanned(tmp_path)) == {"run\ufffd": [1]}


def test_a_directory_named_like_a_file(tmp_path: Path) -> None:
    put(tmp_path / "x.tfevents", 1)
    assert steps(scanned(tmp_path)) == {"x.tfevents": [1]}


needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@needs_permissions
def test_a_directory_without_permission(tmp_path: Path) -> None:
    put(tmp_path / "a", 1)
    put(tmp_path / "b", 2)
    dirs = scanned(tmp_path)
    (tmp_path / "a").chmod(0)
    try:
        dirs.rescan()
        message = f"cannot read {tmp_path / 'a'}: Permission denied"
        assert dirs.problems[str(tmp_path / "a")] == message
        assert set(dirs.runs) == {"a", "b"}
        assert steps(dirs) == {"b": [2]}
    finally:
        (tmp_path / "a").chmod(0o700)
    dirs.rescan()
    assert steps(dirs) == {"a": [1]}
    assert dirs.problems == {}


@needs_permissions
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = put(tmp_path, 1)
    path.chmod(0)
    dirs = scanned(tmp_path)
    assert steps(dirs) == {}
    assert dirs.problems == {str(path): f"cannot read {path}: Permission denied"}
    path.chmod(0o600)
    assert steps(dirs) == {".": [1]}
    assert dirs.problems == {}
