"""Nothing of the caller's changes, whatever happens in the script's own code."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import monitor  # noqa: E402
from monitor.experiments import CHECKS, PreflightFailed  # noqa: E402
from tests.experiments.healthy import resnet, transformer  # noqa: E402
from tests.experiments.networks import ROWS, tokens  # noqa: E402

QUICK = ("overfit",)


def state(model: nn.Module, batch: Any) -> list[Any]:
    """All that must be the same afterwards, as values that compare to the bit."""

    def octets(tensor: Tensor | None) -> Any:
        if tensor is None:
            return None
        return tensor.detach().clone().contiguous().flatten().view(torch.uint8).tolist()

    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), m.training)
        for m in model.modules()
    ]
    generators = (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    modes = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled(),
        torch.is_autocast_cache_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.initial_seed(),
        # What devices that are asleep will be seeded with.
        [str(call) for call in torch.cuda._lazy_seed_tracker.get_calls()],
    )
    return [
        [
            (n, id(p), octets(p), octets(p.grad), p.requires_grad)
            for n, p in model.named_parameters()
        ],
        [(n, octets(b)) for n, b in model.named_buffers()],
        [octets(t) for t in batch],
        hooks,
        generators,
        modes,
    ]


def noisy_loss(output: Tensor, target: Tensor) -> Tensor:
    """Takes a number from every generator there is."""
    jitter = random.random() + float(np.random.rand()) + float(torch.rand(()))  # noqa: NPY002
    return functional.cross_entropy(output, target) * (1 + 1e-9 * jitter)


def raising_loss(output: Tensor, target: Tensor) -> Tensor:
    torch.rand(3)
    raise ArithmeticError("no such thing")


class RaisesLater:
    """Raises at the ``calls``-th call, in the middle of some check."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls == 0:
            raise KeyError("later")
        return functional.cross_entropy(output, target)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("loss_fn", [noisy_loss, raising_loss, RaisesLater(4)])
def test_model_batch_and_random_numbers_stay(
    loss_fn: Callable[..., Tensor], training: bool, grad: bool
) -> None:
    torch.manual_seed(1)
    model, _, batch = resnet()
    model(batch[0]).sum().backward()  # gradients and running statistics are there
    next(model.parameters()).requires_grad_(False)
    model.train(training)
    model[1].eval()  # type: ignore[index]
    fired: list[int] = []
    model[0].register_forward_hook(lambda *_: fired.append(1))  # type: ignore[index]
    before = state(model, batch)
    with torch.set_grad_enabled(grad):
        expected = torch.is_grad_enabled()
        monitor.preflight(model, copy.copy(loss_fn), batch, seconds=1)
        assert torch.is_grad_enabled() is expected
    assert state(model, batch) == before


def test_a_loss_that_reaches_for_the_callers_model_cannot_change_it() -> None:
    model, _, batch = resnet()

    def loss_fn(output: Tensor, target: Tensor) -> Tensor:
        loss = functional.cross_entropy(model(batch[0]), target)
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.1)
        model.eval()
        return functional.cross_entropy(output, target)

    before = state(model, batch)
    report = monitor.preflight(model, loss_fn, batch, skip=QUICK)
    assert len(report.checks) == len(CHECKS) - 1
    assert state(model, batch) == before


def test_a_script_goes_on_to_the_bit_as_if_there_had_been_none(tmp_path: Path) -> None:
    """Three steps with momentum, dropout and the hook, a preflight between them or not."""

    def train(*, tried: bool) -> list[Any]:
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 4))
        optimizer = torch.optim.Adam(model.parameters())
        x, y = torch.randn(ROWS, 8), torch.arange(ROWS) % 4
        handle = monitor.watch(model, optimizer, logdir=tmp_path / str(tried))
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            if tried:
                report = monitor.preflight(model, nn.CrossEntropyLoss(), (x, y), seconds=5)
                assert report.check("first_pass").status == "passed"
            optimizer.step()
        handle.close()
        saved = optimizer.state_dict()["state"]
        moments = [state[key] for state in saved.values() for key in sorted(state)]
        return [*model.state_dict().values(), *moments, torch.rand(3)]

    pairs = list(zip(train(tried=False), train(tried=True), strict=True))
    assert len(pairs) > 20
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_model_may_change_its_input_in_place() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(x.mul_(2).sub_(1))
            return out

    x, y = torch.randn(ROWS, 8), torch.arange(ROWS) % 2
    kept = x.clone()
    report = monitor.preflight(InPlace(), nn.CrossEntropyLoss(), (x, y), skip=QUICK)
    assert report.ok, str(report)
    assert torch.equal(x, kept)


def test_it_runs_in_inference_mode_and_under_autocast() -> None:
    model, loss_fn, batch = transformer()
    with torch.inference_mode():
        assert monitor.preflight(model, loss_fn, batch, skip=QUICK).ok
    with torch.autocast("cpu", torch.bfloat16):
        report = monitor.preflight(model, loss_fn, batch)
        assert torch.is_autocast_cache_enabled()
    assert report.ok, str(report)
    report = monitor.preflight(model, loss_fn, batch, autocast=torch.bfloat16)
    assert report.ok, str(report)
    assert not torch.is_autocast_enabled()


def test_the_same_question_gets_the_same_answer() -> None:
    model, loss_fn, batch = transformer()
    torch.manual_seed(3)
    first = monitor.preflight(model, loss_fn, batch)
    torch.manual_seed(4)
    second = monitor.preflight(model, loss_fn, batch)
    assert [c.reason for c in first.checks] == [c.reason for c in second.checks]


@pytest.mark.parametrize("call", [1, 2, 4, 9, 14])
def test_an_error_is_a_finding_of_the_check_that_met_it(call: int) -> None:
    model, _, batch = resnet()
    report = monitor.preflight(model, RaisesLater(call), batch, seconds=5)
    (finding,) = [f for f in report.findings if "KeyError" in f.seen]
    assert "raise KeyError" in finding.seen  # the line of the script's code
    assert report.check(finding.check).status == "failed"
    assert not report.ok
    with pytest.raises(PreflightFailed, match="KeyError"):
        report.raise_for_failures()
    if call == 1:
        others = {c.status for c in report.checks if c.name not in ("first_pass", "batch_axis")}
        assert others == {"unknown"}


def test_a_model_that_fails_in_evaluation_mode_only() -> None:
    class OnlyTrains(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                raise NotImplementedError("no predictions yet")
            out: Tensor = self.body(x)
            return out

    batch = (torch.randn(ROWS, 8), torch.arange(ROWS) % 2)
    report = monitor.preflight(OnlyTrains(), nn.CrossEntropyLoss(), batch, skip=QUICK)
    assert [f.check for f in report.findings] == ["batch_axis"]
    assert "no predictions yet" in report.findings[0].seen


def test_time_is_bounded() -> None:
    model, loss_fn, batch = transformer()
    report = monitor.preflight(model, loss_fn, batch, seconds=1e-9)
    assert {c.status for c in report.checks} == {"unknown"}
    report = monitor.preflight(model, nn.CrossEntropyLoss(weight=torch.rand(17)), batch, seconds=1)
    assert report.seconds < 3


def test_what_cannot_be_tried_is_refused() -> None:
    batch = tokens()
    with pytest.raises(TypeError, match="must be a torch"):
        monitor.preflight(len, nn.MSELoss(), batch)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callable"):
        monitor.preflight(nn.Linear(1, 1), 3, batch)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="overfitting"):
        monitor.preflight(nn.Linear(1, 1), nn.MSELoss(), batch, skip=("overfitting",))
    with pytest.raises(ValueError, match="seconds"):
        monitor.preflight(nn.Linear(1, 1), nn.MSELoss(), batch, seconds=0)
    for unmade in (nn.LazyLinear(1), nn.Linear(1, 1, device="meta")):
        with pytest.raises(ValueError, match="have no values yet"):
            monitor.preflight(unmade, nn.MSELoss(), batch)
    bound = nn.Linear(1, 1)
    bound.cache = torch.ones(1, requires_grad=True) * 2
    with pytest.raises(ValueError, match="cannot be copied"):
        monitor.preflight(bound, nn.MSELoss(), batch)
