"""Every statistic against the plain formula; rows and names against what the network ran."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import monitor  # noqa: E402
from monitor.formats.layerstats import MODULE_STATS, PARAMETER_STATS, UPDATE_RATIO  # noqa: E402
from tests.hook.networks import Transformer, gradient_norm, inputs, mlp, set_  # noqa: E402
from tests.hook.reading import Stream, headers  # noqa: E402


def one_step(network: nn.Module, x: Tensor, logdir: Path, lr: float = 0.1) -> Stream:
    """One watched SGD step on ``x``."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    with monitor.watch(network, optimizer, logdir=logdir):
        network(x).square().mean().backward()
        optimizer.step()
    return Stream(logdir)


def expected_activations(output: Tensor) -> dict[str, float]:
    y = output.detach().double()
    return {
        "act_mean": float(y.mean()),
        "act_rms": float(y.square().mean().sqrt()),
        "act_absmax": float(y.abs().max()),
        "act_min": float(y.min()),
        "act_nonfinite": 0.0,
        "act_zero_fraction": float((y == 0).double().mean()),
        "act_count": float(y.numel()),
    }


def test_activations_equal_the_plain_formulas(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4), nn.Sigmoid())
    x = 3 * torch.randn(64, 8)
    outputs: dict[str, Tensor] = {}
    y = x
    for name, module in network.named_children():
        y = outputs[name] = module(y)
    stream = one_step(network, x, tmp_path)
    for name, output in outputs.items():
        for stat, value in expected_activations(output).items():
            assert stream.column(stat, name) == [pytest.approx(value, rel=1e-5)], (name, stat)
    low, high = outputs["3"] < 0.01, outputs["3"] > 0.99
    fraction = float((low | high).float().mean())
    assert stream.column("act_saturated_fraction", "3") == [pytest.approx(fraction)]
    assert math.isnan(stream.column("act_saturated_fraction", "1")[0])


def test_fractions_come_from_an_even_sample_of_large_outputs(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(8, 256), nn.ReLU(), nn.Tanh())
    # Whole channels off, others saturated.
    set_(network.get_parameter("0.bias"), torch.linspace(-9, 9, 256))
    x = torch.randn(1024, 8)
    zero = float((network[:2](x) == 0).float().mean())
    flat = float((network(x).abs() > 0.99).float().mean())
    stream = one_step(network, x, tmp_path)
    assert stream.column("act_zero_fraction", "1") == [pytest.approx(zero, abs=0.02)]
    assert stream.column("act_saturated_fraction", "2") == [pytest.approx(flat, abs=0.02)]


def test_a_softmax_is_saturated_by_its_winner_not_by_its_losers(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 200), nn.Softmax(dim=-1))
    set_(network.get_parameter("0.weight"), 0.0)
    even = one_step(network, torch.randn(4, 8), tmp_path / "even")
    assert even.column("act_saturated_fraction", "1") == [0.0]
    set_(network.get_parameter("0.bias"), torch.eye(200)[3] * 50)
    sure = one_step(network, torch.randn(4, 8), tmp_path / "sure")
    assert sure.column("act_saturated_fraction", "1") == [1.0]


def test_a_softmax_over_a_few_entries_says_nothing(tmp_path: Path) -> None:
    few = one_step(nn.Sequential(nn.Linear(8, 4), nn.Softmax(dim=-1)), torch.randn(4, 8), tmp_path)
    assert all(math.isnan(value) for value in few.column("act_saturated_fraction", "1"))


def test_parameters_equal_the_plain_formulas(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = mlp().train()
    x = torch.randn(32, 8)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    stream = one_step(network, x, tmp_path)
    total = 0.0
    for name, p in network.named_parameters():
        assert p.grad is not None
        total += float(p.grad.double().square().sum())
        update = float((p.detach() - before[name]).norm())
        weight = float(before[name].norm())
        expected = {
            "weight_norm": weight,
            "grad_norm": float(p.grad.norm()),
            "grad_absmax": float(p.grad.abs().max()),
            "grad_nonfinite": 0.0,
            "update_norm": update,
            "update_ratio": update / weight,
        }
        assert set(expected) == {*PARAMETER_STATS, UPDATE_RATIO}
        for stat, value in expected.items():
            assert stream.column(stat, name) == [pytest.approx(value, rel=1e-4)], (name, stat)
    assert stream.values("health/grad_norm")[0] == pytest.approx(total**0.5, rel=1e-5)
    assert stream.values("health/lr")[0] == 0.1


def test_the_update_of_a_large_parameter_is_estimated_from_a_sample(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(256, 512), nn.Linear(512, 2))
    weight = network.get_parameter("0.weight")
    before = weight.detach().clone()
    stream = one_step(network, torch.randn(64, 256), tmp_path)
    exact = float((weight.detach() - before).norm())
    assert stream.column("update_norm", "0.weight") == [pytest.approx(exact, rel=0.1)]


def test_the_first_input_is_described(tmp_path: Path) -> None:
    torch.manual_seed(1)
    x = 1e4 + torch.randn(64, 8)
    stream = one_step(mlp(), x, tmp_path, lr=0.0)
    assert stream.values("health/input_mean")[0] == pytest.approx(float(x.mean()), rel=1e-5)
    assert stream.values("health/input_std")[0] == pytest.approx(float(x.std()), rel=0.01)
    assert stream.values("health/input_absmax")[0] == pytest.approx(float(x.abs().max()))


class Backwards(nn.Module):
    """Runs its parts in the opposite order of their registration; one never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.unused = nn.Linear(4, 4)
        self.act = nn.ReLU()
        self.first = nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.act(self.first(x))) * self.scale
        return out


def test_rows_stand_in_the_order_of_execution(tmp_path: Path) -> None:
    stream = one_step(Backwards(), torch.randn(4, 8), tmp_path)
    assert stream.names("act_mean") == ("first", "act", "last")
    assert stream.names("grad_norm") == (
        "scale", "first.weight", "first.bias", "last.weight", "last.bias",
        "unused.weight", "unused.bias",
    )  # fmt: skip
    layers = stream.points["layer/grad_norm"].layers
    assert layers is not None
    assert layers.kinds == ("Backwards", *["Linear"] * 6)
    assert layers.shapes[:2] == ((2,), (4, 8))
    assert layers.followed_by == ("", "act:ReLU", "act:ReLU", "", "", "", "")
    assert math.isnan(stream.column("grad_norm", "unused.weight")[0])
    assert stream.column("update_norm", "unused.weight") == [0.0]
    assert stream.column("weight_norm", "unused.weight")[0] > 0


def test_attention_owns_its_projections(tmp_path: Path) -> None:
    stream = one_step(Transformer(), inputs(Transformer(), 0), tmp_path)
    assert "encoder.layers.0.self_attn" in stream.names("act_mean")
    layers = stream.points["layer/grad_norm"].layers
    assert layers is not None
    at = layers.names.index("encoder.layers.0.self_attn.out_proj.weight")
    assert layers.kinds[at] == "MultiheadAttention"
    assert layers.names[:2] == ("positions", "tokens.weight")
    assert layers.names[-1] == "head.bias"
    assert "health/input_mean" not in stream.points  # integers


def test_a_reused_module_shows_its_first_call(tmp_path: Path) -> None:
    act = nn.ReLU()
    first, second = nn.Linear(8, 8), nn.Linear(8, 2)
    network = nn.Sequential(first, act, second, act)
    stream = one_step(network, torch.randn(4, 8), tmp_path)
    assert stream.names("act_mean") == ("0", "1", "2")
    assert stream.column("act_count", "1") == [4 * 8]
    layers = stream.points["layer/act_mean"].layers
    assert layers is not None
    assert layers.followed_by == ("1:ReLU", "", "1:ReLU")


def test_parametrized_weights_belong_to_their_layer(tmp_path: Path) -> None:
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)), nn.ReLU())
    stream = one_step(network, torch.randn(4, 8), tmp_path)
    layers = stream.points["layer/grad_norm"].layers
    assert layers is not None
    assert stream.names("act_mean") == ("0", "1")
    assert set(layers.kinds) == {"ParametrizedLinear"}
    assert set(layers.followed_by) == {"1:ReLU"}


def test_headers_name_rows_columns_and_facts(tmp_path: Path) -> None:
    one_step(mlp(), torch.randn(4, 8), tmp_path)
    (header,) = headers(tmp_path)
    assert header.tables["modules"].columns == MODULE_STATS
    assert header.tables["parameters"].columns == PARAMETER_STATS
    assert header.facts["optimizer"] == "SGD"
    assert header.facts["optimizer.lr"] == "0.1"
    assert header.facts["model"] == "Sequential"
    assert header.facts["parameters"] == str(sum(p.numel() for p in mlp().parameters()))
    assert header.facts["torch"] == torch.__version__


def test_nonfinite_values_are_flagged_where_they_are(tmp_path: Path) -> None:
    x = torch.randn(4, 8)
    for bad, logdir in ((-math.inf, tmp_path / "inf"), (math.nan, tmp_path / "nan")):
        network = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
        set_(network.get_parameter("2.bias"), torch.tensor([bad, 0.0]))
        stream = one_step(network, x, logdir)
        assert stream.column("act_nonfinite", "0") == [0.0]
        assert stream.column("act_nonfinite", "2") == [1.0]
        assert stream.column("grad_nonfinite", "2.bias") == [1.0]


def test_large_finite_half_precision_values_are_finite(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Identity(), nn.Linear(4, 2).to(torch.bfloat16))
    x = torch.full((64, 4), 60000.0, dtype=torch.float16)
    with monitor.watch(network[0:1], logdir=tmp_path) as health:
        network[0](x)
        health.step(0)
    stream = Stream(tmp_path)
    assert stream.column("act_nonfinite", "0") == [0.0]
    assert stream.column("act_mean", "0") == [pytest.approx(60000, rel=1e-3)]


def test_fused_optimizers_gradients_are_unscaled(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 4))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, fused=True)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        network(torch.randn(4, 8)).sum().backward()
        expected = gradient_norm(network.get_parameter("0.weight"))
        for p in network.parameters():
            assert p.grad is not None
            p.grad.mul_(1024.0)
        scale = torch.tensor(1024.0)
        # As GradScaler.step does for a fused optimizer.
        vars(optimizer).update(grad_scale=scale, found_inf=torch.tensor(0.0))
        optimizer.step()
        scale.fill_(2.0)  # as GradScaler.update does, in place
    stream = Stream(tmp_path)
    assert stream.column("grad_norm", "0.weight") == [pytest.approx(expected, rel=1e-5)]
