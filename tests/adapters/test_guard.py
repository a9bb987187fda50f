"""No error of ours in training, an honest end, and words for whoever lacks a framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from monitor.adapters.guard import Watched, harmless  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402

pytestmark = pytest.mark.torch


def test_an_error_is_logged_once_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    @harmless
    def divide(by: int) -> None:
        results.append(1 / by)

    results: list[float] = []
    for by in (0, 0, 2):
        divide(by)
    assert results == [0.5]
    assert [record.getMessage().split(".")[-1] for record in caplog.records] == [
        "divide failed, training goes on: ZeroDivisionError: division by zero"
    ]


def test_errors_that_are_all_different_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @harmless
    def fail(step: int) -> None:
        raise ValueError(step)

    for step in range(100):
        fail(step)
    assert len(caplog.records) == 20


def test_what_people_decide_gets_through() -> None:
    @harmless
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_training_is_over_when_it_says_so(tmp_path: Path) -> None:
    model = torch.nn.Linear(8, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = Watched()
    for name in ("given up", "at its end"):
        watched.start(model, optimizer, logdir=tmp_path / name)
        model(torch.ones(1, 8)).sum().backward()
        optimizer.step()
    watched.end()
    watched.end()
    assert not Stream(tmp_path / "given up").ended
    assert Stream(tmp_path / "at its end").ended


@pytest.mark.parametrize(
    ("adapter", "package", "install"),
    [
        ("lightning", "lightning", "pip install lightning"),
        ("transformers", "transformers", 'pip install "transformers[torch]"'),
        ("ignite", "ignite", "pip install pytorch-ignite"),
    ],
)
def test_who_lacks_a_framework_is_told_what_to_install(
    adapter: str, package: str, install: str
) -> None:
    code = (
        "import sys\n"
        f"for name in ({package!r}, 'lightning.pytorch', 'pytorch_lightning'):\n"
        "    sys.modules[name] = None\n"
        f"import monitor.adapters.{adapter}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: monitor.adapters.{adapter} needs ")
    assert last.endswith(install)
