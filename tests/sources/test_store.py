"""Object stores: a real S3 server on loopback, and fsspec's memory for whatever cuts there are."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.formats.tfrecord import encode
from monitor.sources import store as stores
from monitor.sources.logdir import LogDirs
from monitor.sources.scan import problem, root_of
from monitor.sources.store import Store, StoreUrl
from tests.events import Run, falling, nan_at, write_run
from tests.processes import eventually, run, watching

Event = pytest.importorskip("tensorboard.compat.proto.event_pb2").Event
fsspec = pytest.importorskip("fsspec", reason="the extra s3 is not installed")
pytest.importorskip("s3fs", reason="the extra s3 is not installed")
moto = pytest.importorskip("moto.server", reason="moto's server is not installed")

# aiobotocore closes its sessions late, in a thread of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(port: int) -> Iterator[None]:
    server = moto.ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        yield
    finally:
        server.stop()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    port = free_port()
    with serving(port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket's URL; the environment is that of somebody who uses it."""
    use(monkeypatch, endpoint)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    name = f"runs-{time.monotonic_ns()}"
    files.mkdir(name)
    return f"s3://{name}"


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rescan lists again."""
    monkeypatch.setattr(stores, "POLL_SECONDS", 0.0)


def upload(local: Path, url: str) -> None:
    files, path = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    for file in sorted(local.rglob("*")):
        if file.is_file():
            files.pipe_file(f"{path}/{file.relative_to(local)}", file.read_bytes())


def steps(dirs: LogDirs) -> list[int]:
    return [int(step) for batch in dirs.read() for p in batch.points for step in p.steps]


def checked(root: str | Path) -> tuple[int, Any]:
    result = run("check", root, "--format", "json")
    return result.returncode, result.stdout


def test_check_says_the_same_of_a_bucket_as_of_a_directory(tmp_path: Path, bucket: str) -> None:
    write_run(tmp_path / "sick", {"train/loss": nan_at(40)})
    write_run(tmp_path / "deep" / "well", {"train/loss": falling()})
    (tmp_path / "notes.txt").write_text("no event file")
    upload(tmp_path, f"{bucket}/some/prefix")
    code, said = checked(f"{bucket}/some/prefix")
    assert (code, said) == checked(tmp_path)
    assert code == 1
    assert checked(f"{bucket}/some/prefix/")[1] == said


def test_the_url_of_one_object(tmp_path: Path, bucket: str) -> None:
    write_run(tmp_path, {"train/loss": nan_at(40)})
    upload(tmp_path, f"{bucket}/one")
    (file,) = tmp_path.iterdir()
    code, said = checked(f"{bucket}/one/{file.name}")
    assert (code, said) == checked(file)


@pytest.mark.usefixtures("impatient")
def test_a_growing_object_is_read_once_each_byte(tmp_path: Path, bucket: str) -> None:
    training = Run(tmp_path / "run")
    dirs = LogDirs([root_of(bucket)])
    for step in range(5):
        training.log(loss=1.0)
        training.flush()
        upload(tmp_path, bucket)
        dirs.rescan()
        assert steps(dirs) == [step]
        dirs.rescan()
        assert steps(dirs) == []
    training.close()
    assert (set(dirs.runs), dict(dirs.problems)) == ({"run"}, {})


@pytest.mark.usefixtures("impatient")
def test_an_object_that_is_another_one_now(tmp_path: Path, bucket: str) -> None:
    def put(*values: float) -> None:
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        write_run(tmp_path / "new", {"loss": list(values)})
        (file,) = (tmp_path / "new").iterdir()
        fsspec.filesystem("s3", skip_instance_cache=True).pipe_file(
            f"{bucket}/run/x.tfevents.1", file.read_bytes()
        )

    dirs = LogDirs([root_of(bucket)])
    for values in ((1.0, 2.0, 3.0), (5.0,), (7.0,), (8.0, 9.0, 10.0, 11.0)):
        put(*values)
        dirs.rescan()
        found = [v for batch in dirs.read() for p in batch.points for v in p.values]
        assert found == list(values)
    assert dirs.stats.rewrites == 3


@pytest.mark.usefixtures("impatient")
def test_an_object_replaced_between_listing_and_reading(tmp_path: Path, bucket: str) -> None:
    write_run(tmp_path, {"loss": falling(50)})
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    path = f"{bucket}/x.tfevents.1"
    files.pipe_file(path, data)
    dirs = LogDirs([root_of(bucket)])
    dirs.rescan()
    assert len(steps(dirs)) == 50
    files.pipe_file(path, data + b"more of it")
    dirs.rescan()
    files.pipe_file(path, data[:100])
    steps(dirs)
    dirs.rescan()
    steps(dirs)
    dirs.rescan()
    assert dirs.stats.rewrites >= 1
    assert dict(dirs.problems) == {}


@pytest.mark.usefixtures("impatient")
def test_a_deleted_object_is_a_run_that_is_gone(tmp_path: Path, bucket: str) -> None:
    write_run(tmp_path / "run", {"loss": falling(3)})
    write_run(tmp_path / "other", {"loss": falling(3)})
    upload(tmp_path, bucket)
    dirs = LogDirs([root_of(bucket)], forget_after=0.0)
    dirs.rescan()
    assert set(dirs.runs) == {"run", "other"}
    fsspec.filesystem("s3", skip_instance_cache=True).rm(f"{bucket}/run", recursive=True)
    dirs.rescan()
    assert set(dirs.runs) == {"other"}


def test_more_objects_than_a_page_of_a_listing(tmp_path: Path, bucket: str) -> None:
    write_run(tmp_path, {"loss": falling(2)})
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.pipe({f"{bucket}/{i:04}/x.tfevents.1": data for i in range(1100)})
    dirs = LogDirs([root_of(bucket)])
    dirs.rescan()
    assert (len(dirs.runs), dirs.files) == (1100, 1100)


def test_a_store_is_listed_once_a_poll(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(StoreUrl(bucket))
    store.listing()
    monkeypatch.setattr(store, "_list", lambda: pytest.fail("listed again at once"))
    store.listing()


def test_what_is_wrong_is_said_in_one_line(
    endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        problem(root_of("s3://no-such-bucket-here")) == "no such bucket: s3://no-such-bucket-here"
    )
    assert problem(root_of(f"{bucket}/nothing/there/yet")) is None
    assert "needs" in str(problem(root_of("nonsense://x/y"))) or "nonsense" in str(
        problem(root_of("nonsense://x/y"))
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    text = problem(root_of(bucket))
    assert text is not None
    assert text.startswith(f"cannot read {bucket}: ")
    assert "very-secret" not in text


def test_without_credentials(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, endpoint)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("check", "s3://bucket/prefix")
    assert result.returncode == 2
    assert "no credentials for s3://bucket/prefix: set AWS_PROFILE" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("module", "url", "said"),
    [
        ("s3fs", "s3://b", "s3:// needs its driver: pip install 'training-health-monitor[s3]'"),
        ("fsspec", "gs://b", "gs:// needs fsspec: pip install 'training-health-monitor[gcs]'"),
    ],
)
def test_a_driver_that_is_missing(module: str, url: str, said: str) -> None:
    code = f"""
import sys
sys.modules[{module!r}] = None
from monitor.cli import main
main(["check", {url!r}])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (2, f"monitor: {said}\n")


@pytest.mark.usefixtures("impatient")
def test_a_server_that_goes_down_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    use(monkeypatch, f"http://127.0.0.1:{port}")
    write_run(tmp_path / "run", {"loss": falling(3)})
    dirs = LogDirs([root_of("s3://bucket")])
    with serving(port):
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        upload(tmp_path, "s3://bucket")
        dirs.rescan()
        assert steps(dirs) == [0, 1, 2]
    dirs.rescan()
    assert list(dirs.problems) == ["s3://bucket"]
    assert set(dirs.runs) == {"run"}
    with serving(port):
        dirs.rescan()
        assert (dict(dirs.problems), set(dirs.runs)) == ({}, {"run"})


def test_watch_follows_a_bucket(tmp_path: Path, bucket: str) -> None:
    training = Run(tmp_path / "run")
    training.log(train__loss=1.0)
    training.flush()
    upload(tmp_path, bucket)
    with watching(bucket) as watch:
        assert watch.metric("training_run_step", run="run") == 0
        training.log(train__loss=float("nan"))
        training.close()
        upload(tmp_path, bucket)
        eventually(lambda: watch.logged("alert firing"))


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 2000), max_size=8))
@pytest.mark.usefixtures("impatient")
def test_however_an_object_grows_each_point_comes_once(memory: Any, cuts: list[int]) -> None:
    value = {"tag": "loss", "simple_value": 1.0}
    events = [Event(step=step, summary={"value": [value]}) for step in range(40)]
    data = b"".join(encode(event.SerializeToString()) for event in events)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    memory.store.clear()
    dirs = LogDirs([StoreUrl("memory://logs")])
    found: list[int] = []
    for end in itertools.islice(edges, 1, None):
        memory.pipe_file("/logs/run/x.tfevents.1", data[:end])
        dirs.rescan()
        found += steps(dirs)
    assert found == list(range(40))
