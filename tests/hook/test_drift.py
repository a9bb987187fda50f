"""What no optimizer moves: at rest, or an average of other weights."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import monitor  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402


def updates(tmp_path: Path, follows: bool) -> list[float]:
    """Of a copy that the optimizer was not given."""
    torch.manual_seed(0)
    online = nn.Linear(4, 4)
    model = nn.ModuleDict({"online": online, "target": copy.deepcopy(online)})
    optimizer = torch.optim.Adam(online.parameters(), 0.01)
    with monitor.watch(model, optimizer, logdir=tmp_path, every=1):
        for _ in range(6):
            optimizer.zero_grad()
            online(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            if follows:
                with torch.no_grad():
                    for p, q in zip(online.parameters(), model["target"].parameters(), strict=True):
                        q.lerp_(p, 0.1)
    stream = Stream(tmp_path)
    assert all(value > 0 for value in stream.column("update_norm", "online.weight"))
    return stream.column("update_norm", "target.weight")


def test_an_average_moves_though_no_optimizer_moves_it(tmp_path: Path) -> None:
    found = updates(tmp_path, follows=True)
    assert found[0] == 0.0  # nothing to hold it against yet
    assert all(math.isnan(value) for value in found[1:])


def test_what_rests_has_updates_of_zero(tmp_path: Path) -> None:
    assert updates(tmp_path, follows=False) == [0.0] * 6
