"""The parts: losses recognised, axes found, lines fitted, inputs judged, reports printed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import monitor  # noqa: E402
from monitor.experiments import overfit  # noqa: E402
from monitor.experiments.axes import layouts  # noqa: E402
from monitor.experiments.geometry import trend  # noqa: E402
from monitor.experiments.inputs import judge  # noqa: E402
from monitor.experiments.losses import Known, recognise  # noqa: E402
from monitor.experiments.norms import bypass  # noqa: E402
from monitor.experiments.script import Script, style_of  # noqa: E402
from monitor.experiments.trees import mapped, tensors  # noqa: E402
from tests.experiments.healthy import resnet  # noqa: E402
from tests.experiments.networks import ROWS  # noqa: E402
from tests.experiments.sick import article, relu_at_the_end  # noqa: E402


def known(loss_fn: Callable[..., Any], output: Tensor, target: Tensor) -> Known | None:
    return recognise(Script(loss_fn, "output, target"), output, target)


LABELS = torch.arange(ROWS) % 4


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.3])
def test_a_cross_entropy_and_its_smoothing_are_recognised(smoothing: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(ROWS, 4)
    found = known(
        lambda o, t: functional.cross_entropy(o, t, label_smoothing=smoothing), logits, LABELS
    )
    assert found is not None
    assert found.classes == 4
    assert found.smoothing == pytest.approx(smoothing, abs=1e-3)
    # The floor is what logits reach that are trained directly.
    free = logits.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([free], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(free, LABELS, label_smoothing=smoothing)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert found.floor == pytest.approx(closure().item(), abs=1e-3)


def test_other_losses_are_recognised_by_their_values() -> None:
    torch.manual_seed(0)
    output, target = torch.randn(ROWS, 4), torch.rand(ROWS, 4)
    assert known(nn.MSELoss(), output, target) == Known(
        "squared error",
        0.0,
        pytest.approx(float(target.var(0, correction=0).mean())),  # type: ignore[arg-type]
    )
    for function in (nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss()):
        found = known(function, output, target)
        assert found is not None
        assert found.kind == "absolute error"
    assert known(nn.NLLLoss(), output.log_softmax(1), LABELS) == known(
        nn.CrossEntropyLoss(), output, LABELS
    )
    soft = known(nn.BCEWithLogitsLoss(), output, target)
    assert soft is not None
    ideal = torch.logit(target)
    assert soft.floor == pytest.approx(float(nn.BCEWithLogitsLoss()(ideal, target)), rel=1e-4)
    assert known(nn.BCELoss(), output.sigmoid(), target) == soft
    shares = target / target.sum(1, keepdim=True)
    probabilities = known(nn.CrossEntropyLoss(), output, shares)
    assert probabilities is not None
    assert probabilities.floor == pytest.approx(
        float(nn.CrossEntropyLoss()(shares.log(), shares)), rel=1e-4
    )


def test_unknown_losses_stay_unknown() -> None:
    output = torch.randn(ROWS, 4)
    assert known(nn.CrossEntropyLoss(weight=torch.rand(4)), output, LABELS) is None
    assert known(lambda o, t: (o - t).square().sum(), output, output * 0) is None
    assert known(nn.MultiMarginLoss(), output, LABELS) is None


@pytest.mark.parametrize(
    ("loss_fn", "style"),
    [
        (nn.CrossEntropyLoss(), "output, target"),
        (functional.mse_loss, "output, target"),
        (torch.nn.functional.binary_cross_entropy_with_logits, "output, target"),
        (lambda model, batch: 0, "model, batch"),
        (lambda net, data, scale=2: 0, "model, batch"),
        (lambda out: out["loss"], "output"),
        (lambda output, target, weight=None: 0, "output, target"),
        (lambda *args: 0, "output, target"),
    ],
)
def test_the_signature_says_what_a_loss_takes(loss_fn: Callable[..., Any], style: str) -> None:
    assert style_of(loss_fn) == style


def test_an_annotation_says_it_too() -> None:
    def loss(m: nn.Module, b: Tensor) -> Tensor:
        return m(b)  # type: ignore[no-any-return]

    assert style_of(loss) == "model, batch"


def shapes(*sizes: tuple[int, ...]) -> list[Tensor]:
    return [torch.zeros(size) for size in sizes]


def test_the_batch_axis_is_the_shared_one() -> None:
    (first,), _ = layouts(shapes((5, 3), (5, 7, 2), (1, 7, 7), ()), shapes((5, 2)))
    assert (first.size, first.axis, first.output_axis) == (5, 0, 0)
    (last,), _ = layouts(shapes((7, 5, 3)), shapes((5, 2)))
    assert (last.size, last.axis, last.output_axis) == (5, 1, 0)
    both, _ = layouts(shapes((7, 5, 3)), shapes((7, 5, 2)))
    assert [layout.axis for layout in both] == [0, 1]
    none, why = layouts(shapes((5, 3), (2, 9)), shapes((5, 2)))
    assert not none
    assert "different sizes" in why
    (told,), _ = layouts(shapes((5, 3), (2, 9)), shapes((5, 2)), axis=0)
    assert told.size == 5
    assert layouts(shapes((5, 3)), shapes((3,))) == (
        [], "no output (3,) has the 5 rows of the batch: not batched"
    )  # fmt: skip
    assert "one row" in layouts(shapes((1, 3)), shapes((1, 3)))[1]


def test_a_line_is_laid_through_the_layers() -> None:
    exact = trend([2.0**i for i in range(11)])
    assert exact is not None
    assert exact.fold == pytest.approx(1024)
    assert exact.per_layer == pytest.approx(2)
    assert exact.order == 1
    # One layer far off does not move it.
    bent = trend([2.0**i if i != 4 else 1e9 for i in range(11)])
    assert bent is not None
    assert bent.fold == pytest.approx(1024)
    assert trend([math.nan, 0.0, 3.0]) is None


def test_inputs_are_told_apart() -> None:
    torch.manual_seed(0)
    quiet = {
        "integers": torch.randint(0, 999, (9, 9)),
        "mask": torch.rand(9, 9) < 0.5,
        "one-hot": functional.one_hot(torch.arange(9)).float(),
        "image": torch.rand(9, 3, 8, 8),
        "dark image": torch.rand(9, 1, 8, 8) * 0.1,
        "bright image": 1 - torch.rand(9, 1, 8, 8) * 0.4,
        "sparse": functional.one_hot(torch.arange(300)).float() * 3,
        "constant column": torch.cat((torch.randn(9, 2), torch.ones(9, 1)), 1),
    }
    assert {name: judge(name, tensor)[1] for name, tensor in quiet.items()} == {
        n: [] for n in quiet
    }
    odd = {
        "as bytes": torch.randint(0, 256, (9, 3, 8, 8)).float(),
        "not whitened": torch.randn(9, 9) * 50,
        "not whitened: mean 100": torch.randn(99, 99) + 100,
        "every value is 7": torch.full((9, 9), 7.0),
        "differ": torch.randn(9, 4) * torch.tensor([1e-5, 1, 1, 1]),
    }
    for words, tensor in odd.items():
        (finding,) = judge("input[0]", tensor)[1]
        assert words in finding.seen


def test_the_advice_for_a_heavy_tail_measures_its_c() -> None:
    values = torch.linspace(1, 1000, 10_000)
    values[-1] = 1.4e8
    (finding,) = judge("input[0]", values)[1]
    assert "standard deviations out" in finding.seen
    assert "tanh(x / C) with C = 900" in finding.advice
    assert float(torch.tanh(values / 900.1).std()) > 0.2


def test_norms_pass_their_input_on() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "batch": nn.BatchNorm2d(4),
            "group": nn.GroupNorm(2, 4),
            "instance": nn.InstanceNorm2d(4, affine=True),
            "layer": nn.LayerNorm((4, 5, 5)),
            "plain": nn.LayerNorm(5, elementwise_affine=False),
            "other": nn.Conv2d(4, 4, 1),
        }
    )
    x = torch.randn(3, 4, 5, 5) * 9 + 2
    assert bypass(model, keep=("batch",)) == ["group", "instance", "layer", "plain"]
    for name in ("group", "instance", "layer", "plain"):
        assert torch.equal(model[name](x), x)
    assert not torch.equal(model["batch"](x), x)
    nn.init.constant_(model["group"].weight, 2.0)  # type: ignore[arg-type]
    assert torch.equal(model["group"](x), x * 2)


@dataclass
class Sample:
    image: Tensor
    name: str


def test_batches_may_be_nested() -> None:
    batch = {"a": [torch.ones(2), Sample(torch.ones(3), "x")], "b": (torch.ones(4), None)}
    assert [path for path, _ in tensors(batch)] == ["['a'][0]", "['a'][1].image", "['b'][0]"]
    doubled = mapped(batch, lambda t: t * 2)
    assert [float(t.sum()) for _, t in tensors(doubled)] == [4, 6, 8]
    assert doubled["a"][1].name == "x"
    assert float(batch["b"][0].sum()) == 4


def test_too_little_time_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    case = relu_at_the_end()
    assert [check.name for check in monitor.preflight(*case).failures] == ["overfit"]
    monkeypatch.setattr(overfit, "STEPS", 10**9)
    report = monitor.preflight(*case, seconds=2)
    assert report.ok
    assert report.check("overfit").status == "unknown"
    assert "time was up" in report.check("overfit").reason


def test_a_report_prints_and_is_frozen() -> None:
    torch.manual_seed(0)
    model, loss_fn, batch = article()
    report = monitor.preflight(model, loss_fn, batch, skip=("overfit",))
    text = str(report)
    assert text.startswith("Preflight of Sequential (")
    assert "1 of 6 checks failed" in text.replace("\n    ", " ")
    assert "  FAILED  without_norms  without 12 norms: output RMS" in text
    assert "usually: Normalisation hides" in text
    assert max(len(line) for line in text.splitlines()) <= 88
    (finding,) = report.findings
    (failure,) = report.failures
    assert failure is report.check("without_norms")
    assert failure.findings == (finding,)
    assert finding.layers[:2] == ("0", "3")
    with pytest.raises(FrozenInstanceError):
        finding.seen = ""  # type: ignore[misc]
    with pytest.raises(KeyError):
        report.check("overfit")
    good = monitor.preflight(*resnet(), skip=("overfit",))
    good.raise_for_failures()
    assert good.ok
    assert "nothing failed" in str(good)


def test_sequence_first_data_of_square_shape_is_information() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(5, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.gru(x)[0])
            return out.flatten(0, 1).view(*x.shape[:2], 3)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.flatten(0, 1), target.flatten())

    batch = (torch.randn(7, ROWS, 5), torch.randint(0, 3, (7, ROWS)))

    free = monitor.preflight(Tagger(), loss, batch, skip=("overfit",))
    assert free.ok
    assert [f.severity for f in free.findings] == ["info"]
    assert not monitor.preflight(Tagger(), loss, batch, skip=("overfit",), batch_axis=0).ok
    right = monitor.preflight(Tagger(), loss, batch, skip=("overfit",), batch_axis=1)
    assert right.check("batch_axis").status == "passed"
    assert not right.findings
