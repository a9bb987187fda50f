"""Which units count as dead, and whose input counts as the network's."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import monitor  # noqa: E402
from monitor.hook.silence import INPUTS, LOOKS, NARROW, READ, Silence, by_input  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402


def watched(network: nn.Module, batches: list[Tensor], logdir: Path) -> Stream:
    """Steps that change nothing, each looked at."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    with monitor.watch(network, optimizer, logdir=logdir, every=1):
        for batch in batches:
            network(batch).sum().backward()
            optimizer.step()
    return Stream(logdir)


def test_a_unit_is_dead_that_no_input_of_many_looks_reaches(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():  # always, half the time, rarely, never
        network.get_parameter("0.weight").copy_(torch.tensor([[0.0], [1.0], [1.0], [0.0]]))
        network.get_parameter("0.bias").copy_(torch.tensor([1.0, 0.0, -2.0, -1.0]))
    torch.manual_seed(0)
    batches = [torch.randn(64, 1) for _ in range(20)]
    column = watched(network, batches, tmp_path).column("act_dead_fraction", "1")
    assert all(math.isnan(value) for value in column[: LOOKS - 1])
    assert column[LOOKS - 1 :] == [0.25] * (len(column) - LOOKS + 1)


def test_others_have_no_dead_units(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(), nn.Dropout(), nn.GELU())
    stream = watched(network, [torch.randn(64, 4)] * 15, tmp_path)
    assert math.isnan(sum(stream.column("act_dead_fraction", "1")))
    assert all(math.isnan(value) for value in stream.values("layer/act_dead_fraction").flat)


def test_small_batches_need_more_looks() -> None:
    silence, relu = Silence(), nn.ReLU()
    found = [silence.dead(0, relu, torch.zeros(10, 3), "Linear") for _ in range(60)]
    assert next(i for i, dead in enumerate(found) if dead is not None) == INPUTS // 10 - 1
    assert found[-1] == 1.0


def test_a_unit_comes_back_to_life_at_once_and_another_width_begins_anew() -> None:
    silence, relu = Silence(), nn.ReLU()
    quiet, one = torch.zeros(100, 2), torch.zeros(100, 2)
    one[7, 1] = 1.0
    for _ in range(LOOKS):
        dead = silence.dead(0, relu, quiet, "Linear")
    assert dead == 1.0
    assert silence.dead(0, relu, one, "Linear") == 0.5
    assert silence.dead(0, relu, torch.zeros(100, 3), "Linear") is None


def test_a_layer_that_is_silent_for_most_inputs_is_known_after_ten_looks() -> None:
    silence, relu = Silence(), nn.ReLU()
    few = torch.zeros(10, NARROW)
    few[3, :] = 1.0
    found = [silence.dead(0, relu, few, "Linear") for _ in range(LOOKS)]
    assert found[:-1] == [None] * (LOOKS - 1)
    assert found[-1] == pytest.approx(0.9)
    assert silence.dead(0, relu, torch.ones(10, NARROW), "Linear") == 0.0


def test_units_that_speak_in_turn_leave_no_input_silent() -> None:
    silence, relu = Silence(), nn.ReLU()
    for _ in range(LOOKS):
        dead = silence.dead(0, relu, torch.eye(64), "Linear")
    assert dead == 0.0


def test_a_narrow_layer_may_be_silent_by_chance() -> None:
    silence, relu = Silence(), nn.ReLU()
    found = [silence.dead(0, relu, torch.zeros(10, NARROW - 1), "Linear") for _ in range(LOOKS)]
    assert found == [None] * LOOKS


def test_nan_is_not_silence() -> None:
    silence, relu = Silence(), nn.ReLU()
    for _ in range(LOOKS):
        dead = silence.dead(0, relu, torch.full((100, 2), math.nan), "Linear")
    assert dead == 0.0


@pytest.mark.parametrize(
    ("shape", "after", "expected"),
    [
        ((6, 5), "Linear", (6, 5)),
        ((6, 7, 5), "Linear", (42, 5)),  # tokens
        ((6, 5, 7), "Conv1d", (6, 5, 7)),
        ((6, 5, 7), "BatchNorm1d", (6, 5, 7)),
        ((6, 5, 4, 4), "", (6, 5, 4, 4)),
        ((6, 4, 4, 5), "Linear", (96, 5)),
    ],
)
def test_where_the_channels_are(shape: tuple[int, ...], after: str, expected: object) -> None:
    assert tuple(by_input(torch.zeros(shape), after).shape) == expected


def test_of_a_large_batch_inputs_are_read_from_all_over() -> None:
    output = torch.arange(4.0 * READ).reshape(-1, 64)
    found = by_input(output, "Linear")
    assert found.numel() == READ
    assert float(found[-1, 0]) > 0.99 * float(output[-1, 0])


def test_the_input_is_that_of_the_first_layer_with_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(8), nn.Linear(8, 4))
    x = 1000 + 50 * torch.randn(256, 8, 1)
    stream = watched(network, [x, x], tmp_path)
    assert stream.values("health/input_mean") == pytest.approx([0.0, 0.0], abs=1e-3)
    assert stream.values("health/input_std") == pytest.approx([1.0, 1.0], abs=0.01)


def test_embedded_symbols_are_no_input(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))
    stream = watched(network, [torch.randint(0, 9, (16,))] * 2, tmp_path)
    assert "health/input_mean" not in stream.points
