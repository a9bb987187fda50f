"""The course of training: steps, scalars, accumulation, odd networks, failures of ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.optim import Optimizer  # noqa: E402

import monitor  # noqa: E402
from tests.hook.networks import gradient_norm, inputs, mlp, train  # noqa: E402
from tests.hook.reading import Stream, headers, health_files  # noqa: E402


def test_the_cadence_is_every_step_at_first_then_every_tenth(tmp_path: Path) -> None:
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    with monitor.watch(network, optimizer, logdir=tmp_path, budget=math.inf):
        for step in range(45):
            optimizer.zero_grad()
            network(inputs(network, step)).square().mean().backward()
            optimizer.step()
    assert Stream(tmp_path).steps("layer/grad_norm") == [*range(21), 30, 40]


def test_an_eval_pass_is_not_looked_at(tmp_path: Path) -> None:
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        network.eval()
        network(inputs(network, 0, rows=99))
        network.train()
        network(inputs(network, 0, rows=5)).sum().backward()
        network.eval()
        network(inputs(network, 0, rows=98))
        optimizer.step()
    assert Stream(tmp_path).column("act_count", "0") == [5 * 32]


def test_accumulation_shows_the_first_micro_batch_and_the_whole_gradient(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        for rows in (3, 5, 7):
            network(inputs(network, rows, rows=rows)).sum().backward()
        expected = gradient_norm(network.get_parameter("0.weight"))
        optimizer.step()
    stream = Stream(tmp_path)
    assert stream.column("act_count", "0") == [3 * 2]
    assert stream.column("grad_norm", "0.weight") == [pytest.approx(expected, rel=1e-5)]


def test_scalars_take_numbers_and_tensors(tmp_path: Path) -> None:
    network = mlp()
    loss = torch.tensor([0.25], requires_grad=True)
    count = torch.tensor(2**40)
    with monitor.watch(network, logdir=tmp_path) as health:
        health.log({"train/loss": loss, "count": count, "plain": 3}, 17)
        loss.data.fill_(9.0)  # what is written is the value at the time of the call
        health.log({"train/loss": math.nan}, 18)
    stream = Stream(tmp_path)
    assert stream.steps("train/loss") == [17, 18]
    assert stream.values("train/loss")[0] == 0.25
    assert math.isnan(stream.values("train/loss")[1])
    assert stream.values("count")[0] == 2**40
    assert stream.values("plain")[0] == 3.0


def test_without_an_optimizer_log_or_step_end_a_step(tmp_path: Path) -> None:
    network = mlp()
    with monitor.watch(network, logdir=tmp_path) as health:
        for step in range(100, 104):
            network.zero_grad()
            network(inputs(network, step)).sum().backward()
            health.log({"loss": 1.0}, step)
            health.step(step)
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == [100, 101, 102, 103]
    assert stream.column("grad_norm", "0.weight")[-1] > 0
    assert math.isnan(stream.column("update_norm", "0.weight")[-1])


def test_steps_can_go_on_after_a_checkpoint(tmp_path: Path) -> None:
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=tmp_path, first_step=500) as health:
        optimizer.step()
        health.step(699)
        optimizer.step()
    assert Stream(tmp_path).steps("health/lr") == [500, 700]


def test_each_group_has_its_learning_rate(tmp_path: Path) -> None:
    network = mlp()
    groups = [
        {"params": network[0].parameters(), "lr": 0.1},
        {"params": network[3].parameters(), "lr": torch.tensor(0.01)},
    ]
    optimizer = torch.optim.Adam(groups, foreach=False)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        optimizer.step()
    stream = Stream(tmp_path)
    assert stream.values("health/lr/pg0")[0] == 0.1
    assert stream.values("health/lr/pg1")[0] == pytest.approx(0.01)


class Peculiar(dict[str, Tensor]):
    """An output that cannot be looked through."""

    def values(self) -> object:  # type: ignore[override]
        raise RuntimeError("not for you")


class Odd(nn.Module):
    def forward(self, x: Tensor) -> Peculiar:
        return Peculiar(x=x)


class WithOdd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 4)
        self.odd = Odd()
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.odd(self.first(x))["x"])
        return out


def test_a_module_that_cannot_be_read_costs_its_own_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = WithOdd()
    train(network, tmp_path, steps=4)
    stream = Stream(tmp_path)
    assert stream.names("act_mean") == ("first", "last")
    assert len(stream.column("act_mean", "last")) == 4
    assert stream.facts["lost.0"] == "module odd: RuntimeError: not for you"
    assert sum("not for you" in record.message for record in caplog.records) == 1


class Many(nn.Module):
    """Outputs of every sort."""

    def __init__(self, sort: str) -> None:
        super().__init__()
        self.sort = sort

    def forward(self, x: Tensor) -> object:
        return {
            "tuple": (torch.arange(3), [x]),
            "dict": {"a": None, "b": x},
            "integers": x.long(),
            "empty": x[:0],
            "sparse": x.to_sparse(),
            "meta": x.to("meta"),
            "nested": torch.nested.nested_tensor([x[0], x[1]]),
            "none": None,
            "transposed": x.t(),
            "double": x.double(),
            "complex": x.to(torch.complex64),
        }[self.sort]


@pytest.mark.parametrize(
    ("sort", "seen"),
    [
        ("tuple", True), ("dict", True), ("transposed", True), ("double", True),
        ("integers", False), ("empty", False), ("sparse", False), ("meta", False),
        ("nested", False), ("none", False), ("complex", False),
    ],
)  # fmt: skip
def test_outputs_of_every_sort(sort: str, seen: bool, tmp_path: Path) -> None:
    network = Many(sort)
    with monitor.watch(network, logdir=tmp_path) as health:
        network(torch.ones(2, 3))
        health.step(0)
    (header,) = headers(tmp_path)
    assert header.tables["modules"].names == (("model",) if seen else ())
    assert "lost.0" not in header.facts
    if seen:
        assert Stream(tmp_path).column("act_mean", "model") == [1.0]


def test_sparse_gradients_count_rows_that_come_twice_together(tmp_path: Path) -> None:
    network = nn.Embedding(10, 4, sparse=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        network(torch.tensor([1, 2, 2])).sum().backward()
        assert network.weight.grad is not None
        assert not network.weight.grad.is_coalesced()
        expected = float(network.weight.grad.to_dense().norm())
        optimizer.step()
    stream = Stream(tmp_path)
    assert stream.column("grad_norm", "weight") == [pytest.approx(expected, rel=1e-6)]
    assert stream.column("grad_absmax", "weight") == [2.0]
    assert stream.column("update_norm", "weight")[0] > 0


def test_a_batch_that_names_no_row_has_no_gradient_to_show(tmp_path: Path) -> None:
    network = nn.Embedding(10, 4, sparse=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        network(torch.empty(0, dtype=torch.long)).sum().backward()
        optimizer.step()
    assert math.isnan(Stream(tmp_path).column("grad_norm", "weight")[0])


class Wrapped(Optimizer):
    """As Accelerate wraps an optimizer: it says that it is one, but steps on behalf of another."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.optimizer.step()


def test_an_optimizer_inside_wrappers_is_found(tmp_path: Path) -> None:
    network = mlp()
    inner = torch.optim.SGD(network.parameters(), lr=0.25)
    optimizer = Wrapped(Wrapped(inner))
    with monitor.watch(network, optimizer, logdir=tmp_path):
        for step in range(3):
            network(inputs(network, step)).sum().backward()
            optimizer.step()
    assert Stream(tmp_path).steps("layer/update_norm") == [0, 1, 2]
    assert Stream(tmp_path).values("health/lr")[0] == 0.25


def test_accelerates_own_wrapper_is_looked_into(tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    network = mlp()
    model, optimizer = accelerator.prepare(network, torch.optim.SGD(network.parameters(), lr=0.25))
    with monitor.watch(model, optimizer, logdir=tmp_path):
        for step in range(3):
            optimizer.zero_grad()
            accelerator.backward(model(inputs(network, step)).sum())
            optimizer.step()
    assert Stream(tmp_path).steps("layer/update_norm") == [0, 1, 2]


def test_frozen_parameters_have_no_row_until_thawed(tmp_path: Path) -> None:
    network = mlp()
    network[0].requires_grad_(False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        for step in range(2):
            optimizer.zero_grad()
            network(inputs(network, step)).sum().backward()
            optimizer.step()
            network[0].requires_grad_(True)
    first, second = headers(tmp_path)
    assert "0.weight" not in first.tables["parameters"].names
    assert second.tables["parameters"].names[0] == "0.weight"
    assert second.generation == first.generation + 1


def test_shared_parameters_have_one_row(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    network[1].weight = network[0].weight
    train(network, tmp_path, steps=2)
    assert Stream(tmp_path).names("grad_norm") == ("0.weight", "0.bias", "1.bias")


def test_an_exception_in_forward_is_the_users_own(tmp_path: Path) -> None:
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            network(torch.randn(2, 9))
        network(inputs(network, 0)).sum().backward()
        optimizer.step()
    assert Stream(tmp_path).steps("layer/grad_norm") == [0]


def test_lbfgs_gives_the_gradients_of_its_own_step(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 2))
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = network(inputs(network, 0)).square().mean()
        loss.backward()
        return loss.detach()

    with monitor.watch(network, optimizer, logdir=tmp_path):
        optimizer.step(closure)
    assert Stream(tmp_path).column("grad_norm", "0.weight")[0] > 0


def test_trouble_is_looked_at_closely(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    health = monitor.watch(network, optimizer, logdir=tmp_path, every=1000, budget=math.inf)
    for step in range(1500):
        optimizer.zero_grad()
        factor = math.nan if step >= 1000 else 1.0
        (network(inputs(network, 0)).mean() * factor).backward()
        optimizer.step()
    health.close()
    steps = Stream(tmp_path).steps("layer/grad_norm")
    assert steps[:21] == [*range(20), 1000]
    assert len(steps) == 21 + 5


def test_only_rank_zero_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = mlp()
    with monitor.watch(network, logdir=tmp_path, rank=3) as health:
        health.log({"x": 1.0}, 0)
        health.step(0)
    monkeypatch.setenv("RANK", "1")
    monitor.watch(network, logdir=tmp_path).close()
    assert health_files(tmp_path) == []


def test_data_parallel_names_are_the_models_own(tmp_path: Path) -> None:
    distributed = torch.distributed
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        network = nn.parallel.DistributedDataParallel(mlp())
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        with monitor.watch(network, optimizer, logdir=tmp_path):
            network(inputs(network, 0)).sum().backward()
            optimizer.step()
    finally:
        distributed.destroy_process_group()
    stream = Stream(tmp_path)
    assert stream.names("grad_norm")[0] == "0.weight"
    assert stream.facts["world_size"] == "1"


def test_wrong_arguments_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="optimizer must be"):
        monitor.watch(mlp(), object(), logdir=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model must be"):
        monitor.watch(object(), logdir=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every must be"):
        monitor.watch(mlp(), logdir=tmp_path, every=0)


def test_a_value_that_is_no_number_is_logged_not_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with monitor.watch(mlp(), logdir=tmp_path) as health:
        health.log({"x": torch.zeros(3)}, 0)
        health.log({"x": 1.0}, "zero")  # type: ignore[arg-type]
        health.step("one")  # type: ignore[arg-type]
        health.log({"y": 1.0}, 1)
    assert Stream(tmp_path).steps("y") == [1]
    assert "could not log" in caplog.text
