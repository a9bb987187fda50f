"""Real trainings by Ignite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("ignite", reason="pytorch-ignite is not installed")

from ignite.engine import (  # noqa: E402
    Engine,
    Events,
    create_supervised_evaluator,
    create_supervised_trainer,
)
from ignite.handlers.tensorboard_logger import TensorboardLogger  # noqa: E402
from ignite.metrics import Loss  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.optim import Optimizer  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from monitor.adapters.ignite import HealthHandler  # noqa: E402
from tests.hook.reading import Stream, health_files  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

LOSS = nn.CrossEntropyLoss()


class Classifier(nn.Module):
    """Small; raises ``error`` in forward pass ``fail_at``."""

    def __init__(self, fail_at: int = -1, error: BaseException | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 3))
        self.passes = 0
        self.fail_at = fail_at
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        if self.error is not None and self.passes == self.fail_at:
            raise self.error
        self.passes += 1
        out: Tensor = self.net(x)
        return out


def loader(rows: int = 96, batch: int = 8) -> DataLoader[Any]:
    x = torch.randn(rows, 8, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(x, x.argmax(1) % 3), batch_size=batch)


def supervised(model: nn.Module, **settings: Any) -> tuple[Any, Optimizer]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return create_supervised_trainer(model, optimizer, LOSS, **settings), optimizer


def test_the_statistics_of_all_layers_are_beside_the_tensorboard_file(tmp_path: Path) -> None:
    model = Classifier()
    trainer, optimizer = supervised(model)
    HealthHandler(model, optimizer).attach(trainer)
    with TensorboardLogger(log_dir=tmp_path) as logger:
        logger.attach_output_handler(
            trainer, Events.ITERATION_COMPLETED, tag="train", output_transform=lambda loss: loss
        )
        trainer.run(loader(), max_epochs=1)
    assert list(tmp_path.glob("events.out.tfevents.*"))
    stream = Stream(tmp_path)
    assert stream.names("act_mean") == ("net.0", "net.1", "net.2", "net.3")
    assert stream.steps("layer/grad_norm") == list(range(1, 13))
    assert min(stream.column("grad_norm", "net.0.weight")) > 0
    assert min(stream.column("update_ratio", "net.0.weight")) > 0
    assert stream.ended
    assert "train/loss" not in stream.points, "TensorBoard has it"


def test_accumulation_is_one_step_and_has_the_number_of_its_iteration(tmp_path: Path) -> None:
    model = Classifier()
    trainer, optimizer = supervised(model, gradient_accumulation_steps=3)
    HealthHandler(model, optimizer, tmp_path).attach(trainer)
    trainer.run(loader(), max_epochs=1)
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == [3, 6, 9, 12]
    assert stream.column("act_count", "net.0") == [8 * 16] * 4  # the first micro-batch
    assert stream.steps("train/loss") == list(range(1, 13))


def test_steps_never_go_back_where_an_iteration_has_several(tmp_path: Path) -> None:
    model = Classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def update(_: Engine, batch: list[Tensor]) -> None:
        for _ in range(2):
            optimizer.zero_grad()
            LOSS(model(batch[0]), batch[1]).backward()
            optimizer.step()

    trainer = Engine(update)
    HealthHandler(model, optimizer, tmp_path).attach(trainer)
    trainer.run(loader(24), max_epochs=1)
    assert Stream(tmp_path).steps("layer/grad_norm") == [1, 2, 3, 4, 5, 6]


def test_without_an_optimizer_a_step_is_an_iteration(tmp_path: Path) -> None:
    model = Classifier()
    trainer, _ = supervised(model)
    HealthHandler(model, logdir=tmp_path).attach(trainer)
    trainer.run(loader(40), max_epochs=1)
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == [1, 2, 3, 4, 5]
    assert min(stream.column("grad_norm", "net.0.weight")) > 0


def test_results_are_the_same_to_the_bit(tmp_path: Path) -> None:
    states = []
    for watched in (False, True):
        model = Classifier()
        trainer, optimizer = supervised(model)
        if watched:
            HealthHandler(model, optimizer, tmp_path, every=1).attach(trainer)
        torch.manual_seed(5)
        trainer.run(loader(), max_epochs=2)
        states.append([*model.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert len(Stream(tmp_path).steps("layer/grad_norm")) == 24


def test_metrics_of_evaluators_are_in_the_stream_at_the_trainers_iteration(tmp_path: Path) -> None:
    model = Classifier()
    trainer, optimizer = supervised(model)
    evaluator = create_supervised_evaluator(model, metrics={"loss": Loss(LOSS)})
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(loader(16)))
    handler = HealthHandler(model, optimizer, tmp_path)
    handler.attach(trainer, evaluators={"validation": evaluator})
    trainer.run(loader(), max_epochs=2)
    assert Stream(tmp_path).steps("validation/loss") == [12, 24]


@pytest.mark.parametrize(
    ("error", "ended"), [(RuntimeError("out of luck"), False), (KeyboardInterrupt(), True)]
)
def test_a_training_that_dies_is_not_over_and_one_that_is_stopped_is(
    error: BaseException, ended: bool, tmp_path: Path
) -> None:
    model = Classifier(4, error)
    trainer, optimizer = supervised(model)
    HealthHandler(model, optimizer, tmp_path).attach(trainer)
    with pytest.raises(type(error)):
        trainer.run(loader(), max_epochs=1)
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == [1, 2, 3, 4]
    assert stream.ended is ended


@pytest.mark.parametrize("first", [False, True])
def test_an_exception_that_someone_handles_stays_handled(first: bool, tmp_path: Path) -> None:
    model = Classifier(4, RuntimeError("out of luck"))
    trainer, optimizer = supervised(model)
    handled: list[BaseException] = []
    if first:
        trainer.add_event_handler(Events.EXCEPTION_RAISED, handled.append)
    HealthHandler(model, optimizer, tmp_path).attach(trainer)
    if not first:
        trainer.add_event_handler(Events.EXCEPTION_RAISED, handled.append)
    trainer.run(loader(), max_epochs=1)
    assert len(handled) == 1
    assert not Stream(tmp_path).ended


def test_an_exception_that_is_raised_again_before_we_hear_of_it(tmp_path: Path) -> None:
    """And is caught: the process ends well, the training did not."""
    code = (
        "from pathlib import Path\n"
        "from tests.adapters.test_ignite import *\n"
        "model = Classifier(4, RuntimeError('out of luck'))\n"
        "trainer, optimizer = supervised(model)\n"
        "@trainer.on(Events.EXCEPTION_RAISED)\n"
        "def again(_, error):\n"
        "    raise error\n"
        f"HealthHandler(model, optimizer, Path({str(tmp_path)!r})).attach(trainer)\n"
        "try:\n"
        "    trainer.run(loader(), max_epochs=1)\n"
        "except RuntimeError:\n"
        "    print('caught')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "caught\n"
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == [1, 2, 3, 4]
    assert not stream.ended


def test_terminated_is_over(tmp_path: Path) -> None:
    model = Classifier()
    trainer, optimizer = supervised(model)
    HealthHandler(model, optimizer, tmp_path).attach(trainer)

    @trainer.on(Events.ITERATION_COMPLETED(once=5))
    def stop() -> None:
        trainer.terminate(skip_completed=True)

    trainer.run(loader(), max_epochs=1)
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == [1, 2, 3, 4, 5]
    assert stream.ended


def test_a_resumed_training_goes_on_counting(tmp_path: Path) -> None:
    model = Classifier()
    trainer, optimizer = supervised(model)
    HealthHandler(model, optimizer, tmp_path / "a").attach(trainer)
    trainer.run(loader(), max_epochs=1)
    again, optimizer = supervised(model)
    HealthHandler(model, optimizer, tmp_path / "b").attach(again)
    again.load_state_dict({"iteration": 12, "max_epochs": 2, "epoch_length": 12})
    again.run(loader())
    assert Stream(tmp_path / "a").steps("layer/grad_norm") == list(range(1, 13))
    assert Stream(tmp_path / "b").steps("layer/grad_norm") == list(range(13, 25))


def test_without_a_directory_it_says_so_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = Classifier()
    trainer, optimizer = supervised(model)
    HealthHandler(model, optimizer).attach(trainer)
    trainer.run(loader(), max_epochs=1)
    assert trainer.state.iteration == 12
    assert not list(tmp_path.rglob("events.*"))
    assert "give HealthHandler a logdir" in caplog.text


def test_an_error_of_ours_does_not_end_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Classifier()
    trainer, optimizer = supervised(model)
    HealthHandler(model, optimizer, tmp_path, every=0).attach(trainer)
    trainer.run(loader(), max_epochs=1)
    assert trainer.state.iteration == 12
    assert not health_files(tmp_path)
    (message,) = [r.getMessage() for r in caplog.records if r.name == "monitor.adapters"]
    assert "_on_started failed, training goes on: ValueError: every must be" in message
