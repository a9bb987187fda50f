"""What an optimizer remembers is told: after a resume without its state it has counted one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.optim import Optimizer  # noqa: E402

import monitor  # noqa: E402
from monitor.follower import Follower  # noqa: E402
from monitor.rules import load  # noqa: E402
from tests.hook.networks import inputs, mlp  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402

Make = Callable[[nn.Module], Any]

TAG = "health/optimizer_steps"


def adam(network: nn.Module) -> Any:
    return torch.optim.Adam(network.parameters(), lr=0.001)


def momentum(network: nn.Module) -> Any:
    return torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)


def plain(network: nn.Module) -> Any:
    return torch.optim.SGD(network.parameters(), lr=0.001)


def train(
    network: nn.Module, optimizer: Optimizer, logdir: Path, first: int, last: int, told: int = 0
) -> None:
    """Steps ``first`` .. ``last - 1``; the script tells each step's number ``told`` times."""
    with monitor.watch(network, optimizer, logdir=logdir, first_step=first, budget=1.0) as health:
        for step in range(first, last):
            for _ in range(told):
                health.step(step - 1)
            optimizer.zero_grad()
            network(inputs(network, step)).square().mean().backward()
            optimizer.step()


def alerts(logdir: Path) -> list[tuple[str, int]]:
    follower = Follower([logdir], load(None))
    follower.catch_up(final=True)
    (view,) = follower.views.values()
    found = [a for a in view.alerts if a.rule.alert == "OptimizerStateLost"]
    return [(alert.rule.alert, alert.fired.step) for alert in found]


@pytest.mark.parametrize("make", [adam, momentum])
def test_a_new_state_counts_from_one(make: Make, tmp_path: Path) -> None:
    network = mlp()
    train(network, make(network), tmp_path, 0, 41)
    stream = Stream(tmp_path)
    assert stream.values(TAG).tolist() == [step + 1 for step in stream.steps(TAG)]


@pytest.mark.parametrize("make", [plain, momentum])
def test_nothing_is_said_where_nothing_can_be_known(make: Make, tmp_path: Path) -> None:
    network = mlp()
    optimizer = make(network)
    train(network, optimizer, tmp_path / "first", 0, 5)
    train(network, optimizer, tmp_path / "second", 5, 10)
    assert TAG not in Stream(tmp_path / "second").points


@pytest.mark.parametrize("make", [adam, momentum])
@pytest.mark.parametrize("back", [0, 30])
def test_a_resume_without_the_state_is_told(make: Make, back: int, tmp_path: Path) -> None:
    network = mlp()
    train(network, make(network), tmp_path, 0, 100)
    train(network, make(network), tmp_path, 100 - back, 140)
    assert alerts(tmp_path) == [("OptimizerStateLost", 100 - back)]


@pytest.mark.parametrize("make", [adam, momentum, plain])
@pytest.mark.parametrize("back", [0, 30])
def test_a_resume_with_the_state_is_not(make: Make, back: int, tmp_path: Path) -> None:
    network = mlp()
    optimizer = make(network)
    train(network, optimizer, tmp_path, 0, 100 - back)
    saved = copy.deepcopy(optimizer.state_dict())
    train(network, optimizer, tmp_path, 100 - back, 100)
    again = make(network)
    again.load_state_dict(saved)
    train(network, again, tmp_path, 100 - back, 140)
    assert alerts(tmp_path) == []


def test_a_resume_into_a_directory_of_its_own_is_told_too(tmp_path: Path) -> None:
    network = mlp()
    train(network, adam(network), tmp_path, 100, 140)
    assert alerts(tmp_path) == [("OptimizerStateLost", 100)]


def test_steps_that_count_something_else_are_not_compared(tmp_path: Path) -> None:
    network = mlp()
    optimizer = adam(network)
    with monitor.watch(network, optimizer, logdir=tmp_path) as health:
        for move in range(200):  # of a game: the first hundred are not learnt from
            health.step(move)
            if move >= 100:
                optimizer.zero_grad()
                network(inputs(network, move)).square().mean().backward()
                optimizer.step()
    assert TAG not in Stream(tmp_path).points
    assert alerts(tmp_path) == []


def test_each_of_several_optimizers_tells_its_own(tmp_path: Path) -> None:
    network = mlp()
    both = [adam(network[0]), momentum(network[3])]
    with monitor.watch(network, both, logdir=tmp_path):
        for step in range(3):
            for optimizer in both:
                optimizer.zero_grad()
            network(inputs(network, step)).square().mean().backward()
            for optimizer in both:
                optimizer.step()
    stream = Stream(tmp_path)
    assert [stream.values(f"{TAG}/opt{i}").tolist() for i in (0, 1)] == [[1, 2, 3]] * 2
