"""Training with the hook is training without it, to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import monitor  # noqa: E402
from tests.hook.networks import Checkpointed, Transformer, cnn, inputs, mlp, train  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402

NETWORKS: list[Callable[[], nn.Module]] = [mlp, cnn, Transformer, Checkpointed]


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("every", [1, 10])
def test_outputs_gradients_weights_and_random_state_are_the_same(
    make: Callable[[], nn.Module], every: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    plain = make()
    watched = copy.deepcopy(plain)
    # Not every eval pass is the same to the bit: any hook makes TransformerEncoder leave its
    # fused inference path. Its training passes are.
    assert train(plain, None) == train(watched, tmp_path, every=every)
    assert Stream(tmp_path).steps("layer/weight_norm")[:20] == list(range(20))


def test_half_precision_is_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    watched = copy.deepcopy(plain)
    for network, logdir in ((plain, None), (watched, tmp_path)):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        health = monitor.watch(network, optimizer, logdir=logdir) if logdir else None
        for step in range(10):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = network(inputs(network, step)).square().mean()
            loss.backward()
            optimizer.step()
        if health:
            health.close()
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
    assert Stream(tmp_path).column("act_rms", "0")[-1] > 0


def test_the_graph_is_not_extended(tmp_path: Path) -> None:
    network = mlp()
    health = monitor.watch(network, logdir=tmp_path)
    output = network(inputs(network, 0))
    loss = output.sum()
    loss.backward()
    assert output.grad_fn.name() == "AddmmBackward0"
    health.close()


def test_checkpointing_recomputes_unseen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Checkpointed()
    train(network, tmp_path, steps=3)
    stream = Stream(tmp_path)
    assert stream.names("act_mean") == ("block.0", "block.1", "block.2", "head")
    assert stream.column("act_count", "block.0") == [16 * 8] * 3


def test_a_compiled_model_trains_and_says_what_is_missing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = mlp()
    compiled = torch.compile(network, backend="eager")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(compiled, optimizer, logdir=tmp_path):
        for step in range(3):
            optimizer.zero_grad()
            compiled(inputs(network, step)).sum().backward()
            optimizer.step()
    stream = Stream(tmp_path)
    assert stream.facts["activations"].startswith("unavailable")
    assert stream.names("weight_norm")[:2] == ("0.weight", "0.bias")


def test_tracing_sees_nothing_of_ours(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    health = monitor.watch(network, logdir=tmp_path)
    x: Tensor = inputs(network, 0)
    exported = torch.export.export(network, (x,))
    assert torch.equal(exported.module()(x), network(x))
    health.close()
