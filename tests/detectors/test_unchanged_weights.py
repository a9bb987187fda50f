"""Parameters that never move, in real trainings with the real hook."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import monitor
from monitor.alerts import Alert
from monitor.follower import Follower
from monitor.rules import load

Make = Callable[[], tuple[torch.nn.Module, torch.optim.Optimizer]]


def net() -> torch.nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )


def trained(
    logdir: Path, make: Make, steps: int = 300, warmup: int = 0, seed: int = 0
) -> list[Alert]:
    """The alerts about weights that do not change of a short training."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model, optimizer = make()
    x = torch.randn(256, 8)
    y = torch.sin(x.sum(dim=1, keepdim=True))
    rates = [group["lr"] for group in optimizer.param_groups]
    with monitor.watch(model, optimizer, logdir=logdir) as health:
        for step in range(steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, step / warmup) if warmup else rate
            rows = torch.randint(256, (32,))
            model.zero_grad()
            loss = (model(x[rows]) - y[rows]).square().mean()
            loss.backward()
            optimizer.step()
            health.log({"train/loss": loss.detach()}, step)
    follower = Follower([logdir], load(None))
    follower.catch_up(final=True)
    return [a for a in follower.alerts() if a.rule.alert in ("UnchangedWeights", "NothingMoves")]


def adam(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, 1e-3)  # type: ignore[arg-type]


def head_only() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = net()
    return model, adam(model[4].parameters())


def replaced_too_late() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    model[2] = nn.Linear(32, 32)
    return model, optimizer


class Cut(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = net()[:4], nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(x).detach())
        return out


def cut() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = Cut()
    return model, adam(model.parameters())


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (head_only, ("0.weight", "0.bias", "2.weight", "2.bias")),
        (replaced_too_late, ("2.weight", "2.bias")),
        (cut, ("body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias")),
    ],
)
def test_weights_that_were_meant_to_be_trained(
    make: Make, layers: tuple[str, ...], tmp_path: Path
) -> None:
    (alert,) = trained(tmp_path, make)
    assert set(alert.evidence.layers) == set(layers)
    assert alert.active
    assert alert.fired.step <= 130


def of_a_copy() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = net()
    return copy.deepcopy(model), adam(model.parameters())


def below_half_a_bit() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = net()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sign_()
    return model, torch.optim.SGD(model.parameters(), 1e-12)


@pytest.mark.parametrize("make", [of_a_copy, below_half_a_bit])
def test_nothing_moves_though_gradients_come(make: Make, tmp_path: Path) -> None:
    (alert,) = trained(tmp_path, make)
    assert alert.rule.alert == "NothingMoves"
    assert "none of the 6 trainable parameters has moved" in alert.evidence.seen
    assert alert.active
    assert alert.fired.step <= 20


class Elsewhere(torch.optim.SGD):
    """Moves weights of higher precision, which are written back once the step is over."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.masters = copy.deepcopy(model)
        super().__init__(self.masters.parameters(), 0.01)
        self.register_step_pre_hook(self.take)

    def take(self, *_: object) -> None:
        pairs = zip(self.masters.parameters(), self.model.parameters(), strict=True)
        for master, parameter in pairs:
            parameter.data.copy_(master.data)  # those of the step before
            master.grad = parameter.grad


def elsewhere() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = net()
    return model, Elsewhere(model)


def no_rate() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = net()
    return model, torch.optim.SGD(model.parameters(), 0.0)


class Met(torch.nn.Module):
    """What it has to learn is learnt: no gradient is left."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = 0.0 * self.body(x)
        return out


def met() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = Met()
    return model, torch.optim.SGD(model.parameters(), 0.01)


def frozen() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = net()
    model[:4].requires_grad_(False)
    return model, adam(model.parameters())


class Spare(torch.nn.Module):
    """A small head that is not used, as pre-trained models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.pooler = net(), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x)
        return out


def spare() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = Spare()
    return model, adam(model.parameters())


def whole(kind: type[torch.optim.Optimizer], rate: float) -> Make:
    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = net()
        return model, kind(model.parameters(), lr=rate)  # type: ignore[call-arg]

    return make


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("make", "warmup"),
    [
        (whole(torch.optim.Adam, 1e-3), 0),
        (whole(torch.optim.SGD, 0.05), 0),
        (whole(torch.optim.SGD, 1e-3), 2000),
        (whole(torch.optim.AdamW, 1e-3), 200),
        (frozen, 0),
        (spare, 0),
        (elsewhere, 0),
        (no_rate, 0),
        (met, 0),
    ],
)
def test_look_alikes_stay_quiet(make: Make, warmup: int, seed: int, tmp_path: Path) -> None:
    assert trained(tmp_path, make, warmup=warmup, seed=seed) == []
