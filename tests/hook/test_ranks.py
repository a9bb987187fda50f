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
from tests.hook.reading import health_files

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
    joined = whole(tmp_path / "run")
    norm = joined["health/grad_norm"]
    assert norm.steps.tolist() == list(range(50))
    np.testing.assert_allclose(norm.values, said[0]["norms"], rtol=1e-4)
    weights = joined["layer/grad_norm"].layers
    assert weights is not None
    assert weights.names[0] == "0.weight"
    (view,) = followed(tmp_path / "run").views.values()
    assert (view.facts["rank"], view.facts["world_size"]) == ("0", "2")
    assert "parameter_copies" not in view.facts
    assert view.ended


def test_copies_that_are_trained_together_stay_the_same_to_the_bit(tmp_path: Path) -> None:
    train("ddp", tmp_path)
    apart = whole(tmp_path / "run")["layer/replica_difference"]
    assert apart.layers is not None
    assert apart.layers.names == ("rank 0", "rank 1")
    assert apart.steps.tolist() == list(range(50))
    assert apart.values.max() < 1e-12
    assert not fired(tmp_path / "run")


def test_copies_that_are_trained_each_for_itself_are_told(tmp_path: Path) -> None:
    said = train("bare", tmp_path)
    assert all(one["same"] for one in said)
    assert fired(tmp_path / "run") == [("RanksDiverged", 2)]


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
    (view,) = followed(tmp_path / "run").views.values()
    assert view.facts["rank"] == "0"
    assert view.scalars["health/grad_norm"] == pytest.approx(said[0]["norms"][-1], rel=1e-4)
    assert view.ended


def followed(directory: Path) -> Follower:
    follower = Follower([directory], load(None))
    follower.catch_up(final=True)
    return follower


def fired(directory: Path) -> list[tuple[str, int]]:
    """Alerts about ranks, with the step at which they fired."""
    (view,) = followed(directory).views.values()
    alerts = [alert for alert in view.alerts if alert.rule.alert == "RanksDiverged"]
    return [(alert.rule.alert, alert.fired.step) for alert in alerts]


def whole(directory: Path) -> dict[str, Points]:
    """The series of a directory with a file per rank."""
    ranks, found = Ranks(), dict[str, list[Points]]()
    for path in health_files(directory):
        records = RecordReader().feed(path.read_bytes(), final=True)
        decoder = EventDecoder(".", path.name)
        good = [record for record in records if not isinstance(record, Corruption)]
        for batch in decoder.decode_all(good):
            for points in ranks.join(batch).points:
                found.setdefault(points.key.tag, []).append(points)
    return {tag: joined(parts) for tag, parts in found.items()}


def joined(parts: list[Points]) -> Points:
    """One after the other, for as long as the layers are those of the last one."""
    parts = [part for part in parts if part.layers == parts[-1].layers]
    steps, values = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("steps", "values")
    )
    clock = np.concatenate([part.clock for part in parts])
    return Points(parts[-1].key, "w", steps, clock, clock, values, parts[-1].layers)
