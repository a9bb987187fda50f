"""Real trainings by Lightning, under both of its names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")

from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from monitor.adapters.lightning import HealthCallback  # noqa: E402
from tests.hook.reading import Stream, health_files  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    # Few workers, short logging intervals: advice for trainings larger than these.
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

LAYERS = ("net.0", "net.1", "net.2", "net.3")


def classifier(package: ModuleType, fail_at: int = -1, error: BaseException | None = None) -> Any:
    """A small LightningModule; raises ``error`` in training step ``fail_at``."""

    class Classifier(package.LightningModule):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 3))

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            if error is not None and batch_idx == fail_at:
                raise error
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
            self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.net.parameters(), lr=0.01)

    torch.manual_seed(0)
    return Classifier()


def loader(rows: int = 96, batch: int = 8) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 8, generator=generator)
    return DataLoader(TensorDataset(x, x.argmax(1) % 3), batch_size=batch)


def trainer(package: ModuleType, root: Path, **settings: Any) -> Any:
    defaults = {"max_epochs": 1, "logger": False, "enable_checkpointing": False}
    return package.Trainer(
        default_root_dir=root,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        **{**defaults, **settings},
    )


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def package(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param, reason="not installed")


def test_the_statistics_of_all_layers_are_beside_the_tensorboard_file(
    package: ModuleType, tmp_path: Path
) -> None:
    logger = package.loggers.TensorBoardLogger(tmp_path, name="mine")
    module = classifier(package)
    trainer(package, tmp_path / "root", logger=logger, callbacks=[HealthCallback()]).fit(
        module, loader(), loader(16)
    )
    logdir = tmp_path / "mine" / "version_0"
    assert list(logdir.glob("events.out.tfevents.*"))
    stream = Stream(logdir)
    assert stream.names("act_mean") == LAYERS
    assert stream.names("grad_norm") == ("net.0.weight", "net.0.bias", "net.3.weight", "net.3.bias")
    assert stream.steps("layer/grad_norm") == list(range(12))
    assert min(stream.column("grad_norm", "net.0.weight")) > 0
    assert min(stream.column("update_ratio", "net.0.weight")) > 0
    assert stream.ended
    assert "train_loss" not in stream.points, "TensorBoard has it"


def test_accumulation_is_one_step_and_mixed_precision_trains(tmp_path: Path) -> None:
    trainer(
        lightning,
        tmp_path,
        accumulate_grad_batches=3,
        precision="bf16-mixed",
        callbacks=[HealthCallback()],
    ).fit(classifier(lightning), loader(batch=4))
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == list(range(8))
    assert stream.column("act_count", "net.0") == [4 * 16] * 8  # the first micro-batch
    assert stream.steps("health/lr") == list(range(8))


def test_gradients_are_those_that_the_optimizer_gets(tmp_path: Path) -> None:
    """Lightning runs forward, backward and clipping inside the optimizer's step."""
    callbacks = [HealthCallback()]
    trainer(lightning, tmp_path, gradient_clip_val=0.01, callbacks=callbacks).fit(
        classifier(lightning), loader()
    )
    assert Stream(tmp_path).values("health/grad_norm") == pytest.approx([0.01] * 12, rel=1e-3)


def test_results_are_the_same_to_the_bit(package: ModuleType, tmp_path: Path) -> None:
    states = []
    for callbacks in ([], [HealthCallback(every=1)]):
        torch.manual_seed(5)
        module = classifier(package)
        trainer(package, tmp_path, max_epochs=2, callbacks=callbacks).fit(module, loader())
        states.append([*module.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert len(Stream(tmp_path).steps("layer/grad_norm")) == 24


def test_without_a_tensorboard_logger_scalars_are_in_the_stream(tmp_path: Path) -> None:
    trainer(
        lightning, tmp_path, max_epochs=2, log_every_n_steps=4, callbacks=[HealthCallback()]
    ).fit(classifier(lightning), loader(), loader(16))
    stream = Stream(tmp_path)
    assert stream.steps("train_loss") == [3, 7, 11, 15, 19, 23]
    assert stream.steps("val_loss") == [11, 23]
    assert "train/loss" not in stream.points, "the module logs its loss itself"


def test_a_loss_that_the_module_does_not_log_is_in_the_stream(tmp_path: Path) -> None:
    module = classifier(lightning)
    module.log = lambda name, value: None
    trainer(lightning, tmp_path, log_every_n_steps=1, callbacks=[HealthCallback()]).fit(
        module, loader(24)
    )
    assert Stream(tmp_path).steps("train/loss") == [0, 1, 2]


@pytest.mark.parametrize(
    ("error", "raised", "ended"),
    [
        (RuntimeError("out of luck"), RuntimeError, False),
        (KeyboardInterrupt(), SystemExit, True),
    ],
)
def test_a_training_that_dies_is_not_over_and_one_that_is_stopped_is(
    error: BaseException, raised: type[BaseException], ended: bool, tmp_path: Path
) -> None:
    run = trainer(lightning, tmp_path, callbacks=[HealthCallback()])
    with pytest.raises(raised):
        run.fit(classifier(lightning, fail_at=4, error=error), loader())
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == [0, 1, 2, 3]
    assert stream.ended is ended


def test_a_resumed_training_goes_on_counting(tmp_path: Path) -> None:
    first = trainer(lightning, tmp_path, callbacks=[HealthCallback(tmp_path / "a")])
    first.fit(classifier(lightning), loader())
    first.save_checkpoint(tmp_path / "at12.ckpt")
    second = trainer(lightning, tmp_path, max_epochs=2, callbacks=[HealthCallback(tmp_path / "b")])
    second.fit(classifier(lightning), loader(), ckpt_path=tmp_path / "at12.ckpt")
    assert Stream(tmp_path / "a").steps("layer/grad_norm") == list(range(12))
    assert Stream(tmp_path / "b").steps("layer/grad_norm") == list(range(12, 24))


def test_with_several_optimizers_a_step_is_a_batch(tmp_path: Path) -> None:
    class Adversaries(lightning.LightningModule):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.maker = nn.Linear(8, 8)
            self.judge = nn.Linear(8, 1)

        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
            for optimizer, sign in zip(self.optimizers(), (1.0, -1.0), strict=True):
                self.toggle_optimizer(optimizer)
                optimizer.zero_grad()
                self.manual_backward(sign * self.judge(self.maker(batch[0])).square().mean())
                optimizer.step()
                self.untoggle_optimizer(optimizer)

        def configure_optimizers(self) -> Any:
            return [
                torch.optim.SGD(self.maker.parameters(), lr=0.1),
                torch.optim.SGD(self.judge.parameters(), lr=0.1),
            ]

    run = trainer(lightning, tmp_path, max_epochs=1, callbacks=[HealthCallback()])
    run.fit(Adversaries(), loader(48))
    assert run.global_step == 12, "Lightning counts both"
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == list(range(6))
    assert min(stream.column("grad_norm", "maker.weight")) > 0
    assert min(stream.column("grad_norm", "judge.weight")) > 0


def test_an_error_of_ours_does_not_end_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = trainer(lightning, tmp_path, callbacks=[HealthCallback(every=0)])
    run.fit(classifier(lightning), loader())
    assert run.global_step == 12
    assert not health_files(tmp_path)
    (message,) = [r.getMessage() for r in caplog.records if r.name == "monitor.adapters"]
    assert "on_train_start failed, training goes on: ValueError: every must be" in message


def test_other_ranks_tell_only_the_norm_of_their_weights(tmp_path: Path) -> None:
    """Two processes, gloo: the stream of rank 0, and beside it what tells whether rank 1 agrees."""
    code = (
        "from pathlib import Path\n"
        "from tests.adapters.test_lightning import *\n"
        "if __name__ == '__main__':\n"
        f"    path = Path({str(tmp_path)!r})\n"
        "    logger = lightning.loggers.TensorBoardLogger(path, name='')\n"
        "    trainer(lightning, path, logger=logger, devices=2, strategy='ddp',\n"
        "        callbacks=[HealthCallback()]).fit(classifier(lightning), loader())\n"
    )
    (tmp_path / "train.py").write_text(code)
    subprocess.run(
        [sys.executable, str(tmp_path / "train.py")],
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    (directory,) = [path for path in tmp_path.glob("version_*") if health_files(path)]
    first, other = sorted(map(Stream, health_files(directory)), key=lambda s: s.facts["rank"])
    assert first.facts["world_size"] == other.facts["world_size"] == "2"
    assert first.steps("layer/grad_norm") == list(range(6))
    assert first.names("act_mean") == LAYERS
    assert other.facts["replica"] == "yes"
    assert set(other.points) == {"health/replica_norm", "health/steps_seen"}


def test_only_the_package_in_use_is_loaded() -> None:
    pytest.importorskip("pytorch_lightning", reason="not installed")
    code = (
        "import sys, pytorch_lightning as pl\n"
        "from monitor.adapters.lightning import HealthCallback\n"
        "assert issubclass(HealthCallback, pl.Callback)\n"
        "assert 'lightning.pytorch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
