"""Layers whose units are all alike, and those that only begin so."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import monitor  # noqa: E402
from monitor.hook.symmetry import COMPARED, TAG  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402


def told(model: nn.Module, tmp_path: Path, inputs: tuple[int, ...] = (12,)) -> list[float]:
    """The counts, over five steps of a classification into four."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    with monitor.watch(model, optimizer, logdir=tmp_path, every=1):
        for _ in range(5):
            optimizer.zero_grad()
            scores = model(torch.randn(16, *inputs))
            F.cross_entropy(scores, torch.randint(0, 4, (16,))).backward()
            optimizer.step()
    stream = Stream(tmp_path)
    assert stream.steps(TAG) == list(range(COMPARED))
    return list(stream.values(TAG))


def dense(fill: float) -> nn.Sequential:
    model = nn.Sequential(
        nn.Linear(12, 24), nn.ELU(), nn.Linear(24, 24), nn.ELU(), nn.Linear(24, 4)
    )
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, fill)
            nn.init.zeros_(module.bias)
    return model


def test_constant_weights_make_all_hidden_units_alike(tmp_path: Path) -> None:
    assert told(dense(0.05), tmp_path) == [2.0] * COMPARED


def test_random_weights_do_not(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 4))
    assert told(model, tmp_path) == [0.0] * COMPARED


def test_a_last_layer_of_zeros_is_no_fault(tmp_path: Path) -> None:
    last = nn.Linear(24, 4)
    nn.init.zeros_(last.weight)
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), last)
    assert told(model, tmp_path) == [0.0] * COMPARED


class _Branch(nn.Module):
    """x + f(x), where the last layer of f begins at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        self.inner = nn.Sequential(nn.Linear(width, width), nn.GELU(), last)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


def test_nor_are_branches_that_begin_at_zero(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(12, 16), _Branch(16), _Branch(16), nn.Linear(16, 4))
    assert told(model, tmp_path) == [0.0] * COMPARED


def test_copies_of_one_filter_are_found_once_the_last_layer_has_moved(tmp_path: Path) -> None:
    first, last = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.Linear(8 * 16, 4)
    model = nn.Sequential(first, nn.ReLU(), nn.Flatten(), last)
    with torch.no_grad():
        first.weight.copy_(first.weight[:1].expand_as(first.weight).clone())
        last.weight.zero_()
    assert told(model, tmp_path, inputs=(1, 4, 4)) == [0.0, 1.0, 1.0]


def test_layers_of_one_input_are_not_compared(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 4))
    nn.init.ones_(model.get_parameter("0.weight"))
    assert told(model, tmp_path, inputs=(1,)) == [0.0] * COMPARED
