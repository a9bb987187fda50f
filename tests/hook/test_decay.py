"""How much decay takes at each step, against what becomes of weights without a gradient."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop  # noqa: E402

import monitor  # noqa: E402
from monitor.hook.decay import TAG, decay_per_step  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402


def weight() -> nn.Parameter:
    return nn.Parameter(torch.full((4,), 8.0))


@pytest.mark.parametrize(
    "optimizer",
    [
        AdamW([weight()], 0.01, weight_decay=0.2),
        SGD([weight()], 0.1, weight_decay=0.02),
        SGD([weight()], 0.01, momentum=0.9, weight_decay=0.02),
        NAdam([weight()], 0.01, weight_decay=0.2, decoupled_weight_decay=True),
    ],
)
def test_it_is_what_a_step_takes_in_the_end(optimizer: Optimizer) -> None:
    (parameter,) = optimizer.param_groups[0]["params"]
    before = 0.0
    for _ in range(200):
        parameter.grad = torch.zeros(4)
        before = float(parameter.detach()[0])
        optimizer.step()
    taken = 1.0 - float(parameter.detach()[0]) / before
    assert decay_per_step([optimizer])[TAG] == pytest.approx(taken, rel=0.15)
    assert decay_per_step([optimizer])[TAG] == pytest.approx(0.002, rel=1e-6)


def test_where_it_goes_through_a_division_nothing_is_said() -> None:
    for kind in (Adam, RMSprop):
        assert decay_per_step([kind([weight()], 0.01, weight_decay=50.0)]) == {}
    assert decay_per_step([SGD([weight()], torch.tensor(0.1), weight_decay=0.5)]) == {}
    assert decay_per_step([]) == {}


def test_the_strongest_group_counts(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    groups = [
        {"params": model[0].parameters(), "weight_decay": 0.0},
        {"params": model[1].parameters(), "weight_decay": 30.0},
    ]
    optimizer = AdamW(groups, 3e-3)
    with monitor.watch(model, optimizer, logdir=tmp_path):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
    assert Stream(tmp_path).values(TAG) == pytest.approx([0.09] * 3)
