"""Copies of a hooked model work anywhere and report nothing."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import monitor  # noqa: E402
from tests.hook.networks import inputs, mlp  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402


def saved(network: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(network, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    assert isinstance(loaded, nn.Module)
    return loaded


def pickled(network: nn.Module) -> nn.Module:
    loaded = pickle.loads(pickle.dumps(network))
    assert isinstance(loaded, nn.Module)
    return loaded


@pytest.mark.parametrize("way", [copy.deepcopy, pickled, saved])
def test_a_copy_runs_and_stays_silent(way: object, tmp_path: Path) -> None:
    assert callable(way)
    network = mlp()
    with monitor.watch(network, logdir=tmp_path) as health:
        twin = way(network)
        twin(inputs(network, 0, rows=99)).sum().backward()
        network(inputs(network, 0, rows=5))
        health.step(0)
    assert Stream(tmp_path).column("act_count", "0") == [5 * 32]


def test_an_optimizer_is_copied_without_our_hooks(tmp_path: Path) -> None:
    network = mlp()
    optimizer = torch.optim.Adam(network.parameters())
    with monitor.watch(network, optimizer, logdir=tmp_path):
        twin = copy.deepcopy(optimizer)
        again = pickle.loads(pickle.dumps(optimizer))
        twin.step()
        again.step()
        network(inputs(network, 0)).sum().backward()
        optimizer.step()
    assert Stream(tmp_path).steps("health/lr") == [0]


def test_a_saved_model_opens_without_this_package(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 2))
    health = monitor.watch(network, logdir=tmp_path)
    torch.save(network, tmp_path / "model.pt")
    health.close()
    code = (
        "import sys, torch; sys.modules['monitor'] = None\n"
        f"m = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False)\n"
        "print(m(torch.zeros(1, 8)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[1, 2]" in done.stdout


def test_the_state_has_no_more_keys(tmp_path: Path) -> None:
    network = mlp()
    keys = list(network.state_dict())
    with monitor.watch(network, logdir=tmp_path):
        assert list(network.state_dict()) == keys


def test_a_watched_model_can_be_collected(tmp_path: Path) -> None:
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    health = monitor.watch(network, optimizer, logdir=tmp_path)
    network(inputs(network, 0)).sum().backward()
    optimizer.step()
    gone = weakref.ref(network)
    weight = weakref.ref(network[0].weight)
    del network, optimizer
    gc.collect()
    assert gone() is None
    assert weight() is None
    health.close()


def test_activations_are_not_kept(tmp_path: Path) -> None:
    kept: list[weakref.ref[object]] = []
    network = mlp()
    network[1].register_forward_hook(lambda m, i, output: kept.append(weakref.ref(output)))
    health = monitor.watch(network, logdir=tmp_path)
    network(inputs(network, 0)).sum().backward()
    gc.collect()
    assert [ref() for ref in kept] == [None]
    health.close()


def test_closing_takes_every_hook_off(tmp_path: Path) -> None:
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    monitor.watch(network, optimizer, logdir=tmp_path).close()
    assert not any(module._forward_hooks for module in network.modules())
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
