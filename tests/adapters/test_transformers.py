"""Real trainings by the Hugging Face Trainer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from torch import Tensor, nn  # noqa: E402

from monitor.adapters.transformers import HealthCallback  # noqa: E402
from tests.hook.reading import Stream, health_files  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # No accelerator to pin memory for.
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]


class Classifier(nn.Module):
    """Small; raises ``error`` in forward pass ``fail_at``."""

    def __init__(self, fail_at: int = -1, error: BaseException | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 3))
        self.passes = 0
        self.fail_at = fail_at
        self.error = error

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if self.error is not None and self.passes == self.fail_at:
            raise self.error
        self.passes += 1
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def rows(count: int = 96) -> list[dict[str, Tensor]]:
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(1))
    return [{"x": row, "labels": row.argmax() % 3} for row in x]


def trainer(
    model: nn.Module, root: Path, *callbacks: Any, data: Any = None, **settings: Any
) -> Any:
    defaults = {
        "report_to": "none",
        "num_train_epochs": 1,
        "per_device_train_batch_size": 8,
        "logging_steps": 4,
        "save_strategy": "no",
    }
    args = transformers.TrainingArguments(
        output_dir=str(root), use_cpu=True, disable_tqdm=True, **{**defaults, **settings}
    )
    data = data or rows()
    return transformers.Trainer(
        model, args, train_dataset=data, eval_dataset=data[:16], callbacks=list(callbacks)
    )


def only_directory(root: Path) -> Path:
    """The only directory below ``root/runs`` that has a health file."""
    (directory,) = {path.parent for path in (root / "runs").rglob("events.out.health.*")}
    return directory


def test_a_language_model_is_seen_in_all_its_layers_beside_the_tensorboard_file(
    tmp_path: Path,
) -> None:
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=8, vocab_size=32)
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(0, 32, (48, 8))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    trainer(model, tmp_path, HealthCallback(), data=data, report_to="tensorboard").train()
    logdir = only_directory(tmp_path)
    assert list(logdir.glob("events.out.tfevents.*"))
    stream = Stream(logdir)
    assert stream.steps("layer/grad_norm") == list(range(1, 7))
    assert {"transformer.wte", "transformer.h.1.mlp.c_fc", "lm_head"} <= set(
        stream.names("act_mean")
    )
    assert set(stream.names("grad_norm")) == {name for name, _ in model.named_parameters()}
    assert min(stream.column("grad_norm", "transformer.h.0.attn.c_attn.weight")) > 0
    assert stream.ended
    assert "train/loss" not in stream.points, "TensorBoard has it"


def test_accumulation_is_one_step_and_mixed_precision_trains(tmp_path: Path) -> None:
    trainer(
        Classifier(),
        tmp_path,
        HealthCallback(),
        gradient_accumulation_steps=3,
        per_device_train_batch_size=4,
        bf16=True,
    ).train()
    stream = Stream(only_directory(tmp_path))
    assert stream.steps("layer/grad_norm") == list(range(1, 9))
    assert stream.column("act_count", "net.0") == [4 * 16] * 8  # the first micro-batch
    assert min(stream.column("update_ratio", "net.0.weight")) > 0


def test_gradients_are_those_that_the_optimizer_gets(tmp_path: Path) -> None:
    trainer(Classifier(), tmp_path, HealthCallback(), max_grad_norm=0.01).train()
    stream = Stream(only_directory(tmp_path))
    assert stream.values("health/grad_norm") == pytest.approx([0.01] * 12, rel=1e-3)


def test_results_are_the_same_to_the_bit(tmp_path: Path) -> None:
    states = []
    for callbacks in ([], [HealthCallback(every=1)]):
        model = Classifier()
        trainer(model, tmp_path, *callbacks, num_train_epochs=2).train()
        states.append([*model.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert len(Stream(only_directory(tmp_path)).steps("layer/grad_norm")) == 24


def test_without_tensorboard_scalars_are_in_the_stream(tmp_path: Path) -> None:
    trainer(Classifier(), tmp_path, HealthCallback(), eval_strategy="epoch").train()
    stream = Stream(only_directory(tmp_path))
    assert stream.steps("train/loss") == [4, 8, 12]
    assert stream.steps("train/learning_rate") == [4, 8, 12]
    assert stream.steps("eval/loss") == [12]


def test_the_directory_that_the_environment_gives_to_tensorboard_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "here"))
    trainer(Classifier(), tmp_path, HealthCallback(), report_to="tensorboard").train()
    assert list((tmp_path / "here").glob("events.out.tfevents.*"))
    assert Stream(tmp_path / "here").ended


def test_an_earlier_run_is_not_taken_for_this_one(tmp_path: Path) -> None:
    earlier = tmp_path / "runs" / "earlier"
    earlier.mkdir(parents=True)
    name = f"events.out.tfevents.1000000000.{socket.gethostname()}.{os.getpid()}.0"
    (earlier / name).touch()
    trainer(Classifier(), tmp_path, HealthCallback()).train()
    assert only_directory(tmp_path) != earlier
    assert Stream(only_directory(tmp_path)).steps("train/loss") == [4, 8, 12]


def test_a_directory_can_be_given(tmp_path: Path) -> None:
    callback = HealthCallback(tmp_path / "here", log_scalars=True)
    trainer(Classifier(), tmp_path, callback, report_to="tensorboard").train()
    assert Stream(tmp_path / "here").steps("train/loss") == [4, 8, 12]


def test_a_resumed_training_goes_on_counting(tmp_path: Path) -> None:
    first = HealthCallback(tmp_path / "a")
    trainer(Classifier(), tmp_path, first, save_strategy="epoch").train()
    second = HealthCallback(tmp_path / "b")
    trainer(Classifier(), tmp_path, second, num_train_epochs=2).train(
        resume_from_checkpoint=str(tmp_path / "checkpoint-12")
    )
    assert Stream(tmp_path / "a").steps("layer/grad_norm") == list(range(1, 13))
    assert Stream(tmp_path / "b").steps("layer/grad_norm") == list(range(13, 25))


def test_the_next_training_gives_up_one_that_has_died(tmp_path: Path) -> None:
    callback = HealthCallback(tmp_path / "a")
    with pytest.raises(RuntimeError, match="out of luck"):
        trainer(Classifier(4, RuntimeError("out of luck")), tmp_path, callback).train()
    callback.logdir = tmp_path / "b"
    trainer(Classifier(), tmp_path, callback).train()
    assert Stream(tmp_path / "a").steps("layer/grad_norm") == [1, 2, 3, 4]
    assert not Stream(tmp_path / "a").ended
    assert Stream(tmp_path / "b").ended


@pytest.mark.parametrize(
    ("error", "caught", "ended"),
    [
        ("RuntimeError('out of luck')", "()", False),
        ("RuntimeError('out of luck')", "RuntimeError", False),
        ("KeyboardInterrupt()", "()", True),
    ],
)
def test_the_end_of_the_process_tells_a_death_from_a_decision(
    error: str, caught: str, ended: bool, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path\n"
        "from tests.adapters.test_transformers import *\n"
        "try:\n"
        f"    trainer(Classifier(4, {error}), Path({str(tmp_path)!r}), HealthCallback()).train()\n"
        f"except {caught}:\n"
        "    pass\n"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        check=False,  # two of the three end badly, as they should
        timeout=120,
    )
    stream = Stream(only_directory(tmp_path))
    assert stream.steps("layer/grad_norm") == [1, 2, 3, 4]
    assert stream.ended is ended


def test_an_error_of_ours_does_not_end_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = trainer(Classifier(), tmp_path, HealthCallback(tmp_path, every=0))
    run.train()
    assert run.state.global_step == 12
    assert not health_files(tmp_path)
    (message,) = [r.getMessage() for r in caplog.records if r.name == "monitor.adapters"]
    assert "on_train_begin failed, training goes on: ValueError: every must be" in message
