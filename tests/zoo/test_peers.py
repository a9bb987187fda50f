"""Peers' rules on runs whose truth is plain."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("tensorboard")

from tests.zoo.kinds import kinds
from tests.zoo.peers import PEERS, installed, read, verdicts
from tests.zoo.record import Recorded, record

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("zoo"), kinds()["nan_in_the_data"], 0)


@pytest.fixture(scope="module")
def sigmoids(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("zoo"), kinds()["twelve_sigmoids"], 0)


@pytest.mark.parametrize("name", PEERS)
def test_all_peers_find_nan(name: str, broken: Recorded) -> None:
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    found = verdicts(name, broken.place, read(broken.place))
    steps = [a["fired_step"] for a in found if a["detector"] == "nonfinite"]
    assert steps
    assert steps[0] == broken.note.onset


@pytest.mark.parametrize("name", ["SageMaker Debugger", "AUTOTRAINER"])
def test_published_thresholds_find_sigmoids(name: str, sigmoids: Recorded) -> None:
    peer = f"{name} (re-implemented)"
    found = {a["detector"] for a in verdicts(peer, sigmoids.place, read(sigmoids.place))}
    assert "vanishing_gradient" in found


def test_without_the_hook_only_scalars_are_judged(tmp_path: Path) -> None:
    kind = kinds()["rate_far_too_high"]
    made = record(tmp_path, kind, 0)
    logged = read(made.place)
    assert not any(key.tag.startswith("layer/") for key in logged)
    for name in ("SageMaker Debugger (re-implemented)", "AUTOTRAINER (re-implemented)"):
        found = {a["detector"] for a in verdicts(name, made.place, logged)}
        assert "vanishing_gradient" not in found
