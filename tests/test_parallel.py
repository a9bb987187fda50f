"""Catching up by several processes: the same outcome, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import parallel
from monitor.follower import Follower
from monitor.notices import document
from monitor.rules import load
from monitor.sources.cursor import Counters
from tests.events import Run, falling, nan_at, write_run

sizes = st.dictionaries(st.text(max_size=5), st.integers(0, 1 << 40), max_size=50)


@given(sizes, st.integers(1, 16))
def test_every_run_is_in_one_part(sizes: dict[str, int], jobs: int) -> None:
    found = [run for part in parallel.parts(sizes, jobs) for run in part]
    assert sorted(found) == sorted(sizes)


def test_parts_are_about_equal_and_the_largest_comes_first() -> None:
    sizes = {str(i): (i + 1) << 16 for i in range(100)}
    totals = [sum(sizes[run] for run in part) for part in parallel.parts(sizes, 4)]
    assert totals == sorted(totals, reverse=True)
    assert min(totals) > 0.9 * max(totals)


@pytest.mark.parametrize(
    ("sizes", "share"),
    [({}, 1.0), ({"a": 1 << 40}, 1.0), ({"a": 1 << 20, "b": 1 << 20}, 1.0)],
    ids=["nothing", "one run", "little"],
)
def test_one_process_is_enough(sizes: dict[str, int], share: float) -> None:
    assert parallel.processes(sizes, share) == 1


def test_no_more_processes_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    joblib = pytest.importorskip("joblib")
    monkeypatch.setattr(joblib, "effective_n_jobs", lambda jobs: 8)
    many = {str(i): 1 << 30 for i in range(100)}
    assert parallel.processes(many, 1.0) == 8
    assert parallel.processes(many, 0.5) == 4
    assert parallel.processes(many, 0.0) == 1
    assert parallel.processes({"a": 1 << 30, "b": 1 << 30}, 1.0) == 2


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    import joblib

    monkeypatch.setattr(joblib, "effective_n_jobs", lambda jobs: 2)
    small_parts(monkeypatch)


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LEAST_BYTES", 1)
    monkeypatch.setattr(parallel, "PART_BYTES", 1000)


@pytest.mark.usefixtures("two_cores")
def test_the_same_alerts_counts_and_views(tmp_path: Path) -> None:
    for i in range(6):
        write_run(tmp_path / f"sick{i}", {"loss": nan_at(40 + i)})
        write_run(tmp_path / f"well{i}", {"train/loss": falling(), "lr": [0.1] * 200})
    (tmp_path / "well0" / "broken.tfevents").write_bytes(b"\xff" * 300)
    alone, together = (Follower([tmp_path], load(None)) for _ in range(2))
    alone.catch_up(final=True)
    heard: list[tuple[int, int]] = []
    together.catch_up(lambda done, left: heard.append((done, left)), final=True, share=1.0)
    said = [document(alert) for alert in alone.alerts()]
    assert len(said) == 6
    assert [document(alert) for alert in together.alerts()] == said
    assert together.dirs.stats == alone.dirs.stats
    assert together.views.keys() == alone.views.keys()
    assert len(heard) > 1


@pytest.mark.filterwarnings("ignore")  # of Dask's own, some of them in its threads
def test_a_dask_cluster_reads_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    joblib = pytest.importorskip("joblib")
    small_parts(monkeypatch)
    for i in range(6):
        write_run(tmp_path / f"sick{i}", {"loss": nan_at(40 + i)})
        write_run(tmp_path / f"well{i}", {"loss": falling()})
    alone, far = (Follower([tmp_path], load(None)) for _ in range(2))
    alone.catch_up(final=True)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        with joblib.parallel_config(backend="dask"):
            far.catch_up(final=True, share=1.0)
        done = client.run(lambda dask_worker: dask_worker.state.transition_counter)
    said = [document(alert) for alert in alone.alerts()]
    assert len(said) == 6
    assert [document(alert) for alert in far.alerts()] == said
    assert far.dirs.stats == alone.dirs.stats
    assert len(done) == 2
    assert all(done.values()), "both workers were given something to do"


@pytest.mark.usefixtures("two_cores")
def test_what_comes_later_goes_on_where_the_processes_ended(tmp_path: Path) -> None:
    runs = [Run(tmp_path / str(i)) for i in range(4)]
    for run in runs:
        for loss in falling(30):
            run.log(loss=loss)
        run.flush()
    follower = Follower([tmp_path], load(None))
    follower.catch_up(share=1.0)
    records = follower.dirs.stats.records
    for run in runs:
        run.log(loss=float("nan"))
        run.close()
    assert follower.read() == {"0", "1", "2", "3"}
    assert {alert.run for alert in follower.alerts()} == {"0", "1", "2", "3"}
    assert {alert.fired.step for alert in follower.alerts()} == {30}
    assert follower.dirs.stats.records == records + 4


def test_counters_add_up() -> None:
    total = Counters(records=1, bytes=2)
    total.add(Counters(records=10, corrupt_records=3, rewrites=1))
    assert total == Counters(records=11, bytes=2, corrupt_records=3, rewrites=1)
