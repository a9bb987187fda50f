"""Whole files by real writers, and files found in the wild, against TensorBoard's own reader."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.formats import bulk
from monitor.formats.event import EventDecoder
from monitor.formats.records import Corruption, RecordReader
from monitor.points import Batch

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util import tensor_util

REAL = Path(__file__).parents[2].parent / "shared" / "real"
FILES = sorted(path for path in REAL.rglob("*tfevents*") if path.is_file())

Rows = Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]
"""Tag -> [T, 3]: step, wall time, value."""


@pytest.fixture(params=[1000, 30_000], ids=["one by one", "at once"], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many bytes are read at a time; over 10,000 go the way of many."""
    monkeypatch.setattr(bulk, "LEAST_BYTES", 10_000)
    monkeypatch.setitem(PIECE, "bytes", request.param)


PIECE = {"bytes": 1000}


def ours(path: Path) -> tuple[Rows, int, int]:
    """Points, corruptions and unusable events of a file, read in pieces."""
    reader, decoder, corrupt = RecordReader(), EventDecoder("run", "file"), 0
    batches: list[Batch] = []
    data = path.read_bytes()
    for at in range(0, len(data), PIECE["bytes"]):
        found = reader.feed(data[at : at + PIECE["bytes"]])
        records = [item for item in found if not isinstance(item, Corruption)]
        corrupt += len(found) - len(records)
        batches += decoder.decode_all(records)
    rows: dict[str, list[np.ndarray[Any, np.dtype[np.float64]]]] = {}
    for points in (points for batch in batches for points in batch.points):
        columns = (points.steps.astype(float), points.wall_times, points.values)
        rows.setdefault(points.key.tag, []).append(np.stack(columns, axis=1))
    return {tag: np.concatenate(r) for tag, r in rows.items()}, corrupt, decoder.unusable


def theirs(path: Path) -> Rows:
    """The same by TensorBoard: simple values, and tensors of the plugin ``scalars``."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    kinds = {"scalars": 0, "tensors": 0, "histograms": 1, "images": 1, "audio": 1, "graph": 1}
    accumulator = EventAccumulator(str(path), size_guidance=kinds, purge_orphaned_data=False)
    accumulator.Reload()
    rows = {}
    for tag in accumulator.Tags()["scalars"]:
        rows[tag] = [(e.step, e.wall_time, e.value) for e in accumulator.Scalars(tag)]
    for tag in accumulator.Tags()["tensors"]:
        metadata = accumulator.summary_metadata.get(tag)
        if metadata is not None and metadata.plugin_data.plugin_name == "scalars":
            rows[tag] = [
                (e.step, e.wall_time, tensor_util.make_ndarray(e.tensor_proto).item())
                for e in accumulator.Tensors(tag)
            ]
    return {tag: np.array(r, float) for tag, r in rows.items() if not tag.startswith("_hparams_/")}


def assert_same(path: Path) -> int:
    """Both read the same from ``path``; the number of points."""
    got, corrupt, unusable = ours(path)
    expected = theirs(path)
    assert (corrupt, unusable) == (0, 0)
    assert got.keys() == expected.keys()
    for tag, rows in expected.items():
        np.testing.assert_array_equal(got[tag], rows, err_msg=tag)
    return sum(map(len, got.values()))


def only_file(directory: Path) -> Path:
    (path,) = directory.iterdir()
    return path


def test_tensorboards_writer(tmp_path: Path) -> None:
    writer = EventFileWriter(str(tmp_path))
    for step in range(300):
        for tag, value in (("loss", 1 / (step + 1)), ("nan", float("nan")), ("x", -step)):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(step=step, wall_time=1e9 + step / 7, summary=summary))
    writer.close()
    assert assert_same(only_file(tmp_path)) == 900


def test_tf2_writers_name_the_plugin_once(tmp_path: Path) -> None:
    writer = EventFileWriter(str(tmp_path))
    named: set[str] = set()
    for step in range(20):
        for kind in (np.float32, np.float64, np.float16, np.int32, np.int64, np.bool_):
            tag = np.dtype(kind).name
            proto = tensor_util.make_tensor_proto(np.array(step / 3).astype(kind))
            value = Summary.Value(tag=tag, tensor=proto)
            if tag not in named:
                named.add(tag)
                value.metadata.plugin_data.plugin_name = "scalars"
            writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=[value])))
    writer.close()
    assert assert_same(only_file(tmp_path)) == 120


def test_torchs_writer(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        for step in range(50):
            writer.add_scalar("loss/train", 2.0**-step, step)
            writer.add_scalar("new", step, step, new_style=True)
            writer.add_scalar("precise", step / 3, step, new_style=True, double_precision=True)
            writer.add_scalar("negative", step, step - 10)
            if step % 10 == 0:
                writer.add_histogram("weights", torch.arange(10.0) + step, step)
                writer.add_image("picture", torch.zeros(3, 4, 4), step)
                writer.add_text("note", "some text", step)
        writer.add_graph(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    assert assert_same(only_file(tmp_path)) == 200


def test_torchs_hparams_hold_only_their_metrics(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        writer.add_hparams({"lr": 0.1, "layers": 3}, {"hp_metric": -1}, run_name=".")
    files = [ours(path)[0] for path in sorted(tmp_path.rglob("*tfevents*"))]
    assert [sorted(rows) for rows in files if rows] == [["hp_metric"]]


# --- files from the wild ------------------------------------------------------------------

wild = pytest.mark.skipif(not FILES, reason="the real event files are not on this machine")


def test_there_are_real_files() -> None:
    if not FILES:
        pytest.skip("the real event files are not on this machine")


@wild
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REAL))[:40])
def test_real_files(path: Path) -> None:
    if "gregwchase" in str(path):
        got, corrupt, _ = ours(path)
        expected = theirs(path)
        gained = sum(map(len, got.values())) - sum(map(len, expected.values()))
        assert gained >= 50
        assert corrupt > 0
        for tag, rows in expected.items():
            np.testing.assert_array_equal(got[tag][: len(rows)], rows)
    else:
        assert_same(path)
