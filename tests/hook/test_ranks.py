"""Two ranks over gloo: real processes, the same to the bit, and one run for the daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch.distributed.fsdp")

from monitor.follower import Follower
from monitor.formats.event import EventDecoder
from monitor.formats.records import Corruption, RecordReader
from monitor.points import Points
from monitor.ranks import Ranks
from monitor.rules import load
from tests.hook.reading import Stream, health_files

ROOT = Path(__file__).parents[2]


def train(kind: str, directory: Path) -> list[dict[str, Any]]:
    """What both ranks said of their trainings."""
    code = [sys.executable, "-W", "ignore", "-m", "tests.hook.rank", kind]
    ranks = [
        subprocess.Popen([*code, str(rank), str(directory)], cwd=ROOT, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for rank in ranks:
        _, errors = rank.communicate(timeout=120)
        assert rank.returncode == 0, errors.decode()
    return [json.loads((directory / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_data_parallel_training_is_the_same_and_rank_zero_tells(tmp_path: Path) -> None:
    said = train("ddp", tmp_path)
    assert all(one["same"] and one["values"] for one in said)
    stream = Stream(tmp_path / "run")  # the only file
    assert stream.steps("health/grad_norm") == list(range(50))
    assert list(stream.values("health/grad_norm")) == pytest.approx(said[0]["norms"], rel=1e-4)
    assert stream.names("grad_norm")[0] == "0.weight"
    assert stream.facts["world_size"] == "2"
    assert "parameter_copies" not in stream.facts


def test_sharded_training_is_the_same_and_its_ranks_add_up(tmp_path: Path) -> None:
    said = train("fsdp", tmp_path)
    assert all(one["same"] and one["values"] for one in said)
    assert len(health_files(tmp_path / "run")) == 2
    joined = whole(tmp_path / "run")
    norm = joined["health/grad_norm"]
    assert norm.steps.tolist() == list(range(50))
    np.testing.assert_allclose(norm.values, said[0]["norms"], rtol=1e-4)
    weights = joined["layer/weight_norm"]
    assert weights.layers is not None
    assert set(weights.layers.kinds) == {"Linear"}
    assert joined["layer/act_count"].values[0].tolist()[0] == 2 * 16 * 32
    follower = Follower([tmp_path / "run"], load(None))
    follower.catch_up(final=True)
    (view,) = follower.views.values()
    assert view.facts["rank"] == "0"
    assert view.scalars["health/grad_norm"] == pytest.approx(said[0]["norms"][-1], rel=1e-4)
    assert view.ended


def whole(directory: Path) -> dict[str, Points]:
    """The series of a directory with a file per rank."""
    ranks, found = Ranks(), {}
    for path in health_files(directory):
        records = RecordReader().feed(path.read_bytes(), final=True)
        decoder = EventDecoder(".", path.name)
        good = [record for record in records if not isinstance(record, Corruption)]
        for batch in decoder.decode_all(good):
            found.update({points.key.tag: points for points in ranks.join(batch).points})
    return found
