"""The snippets for frameworks in docs/hook.md work as they stand there."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from tests.hook.reading import Stream  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

PAGE = Path(__file__).parents[2] / "docs" / "hook.md"


def snippet(framework: str) -> str:
    """The code block of the page that imports the adapter."""
    blocks = PAGE.read_text().split("\n\n")
    start = next(i for i, text in enumerate(blocks) if f"monitor.adapters.{framework} " in text)
    end = start
    while blocks[end].startswith("    "):
        end += 1
    return textwrap.dedent("\n\n".join(blocks[start:end]))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(framework: str, **given: Any) -> Stream:
        monkeypatch.chdir(tmp_path)
        exec(snippet(framework), given)
        (directory,) = {path.parent for path in tmp_path.rglob("events.out.health.*")}
        return Stream(directory)

    return run


def test_lightning(run: Any) -> None:
    lightning = pytest.importorskip("lightning", reason="Lightning is not installed")

    class Regression(lightning.LightningModule):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    stream = run("lightning", module=Regression(), data=DataLoader(torch.randn(16, 4), 8))
    assert stream.steps("layer/grad_norm") == [0, 1, 2, 3, 4, 5]


def test_transformers(run: Any) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")

    class Regression(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: Any) -> Any:
            return {"loss": self.layer(x).square().mean()}

    data = [{"x": torch.randn(4)} for _ in range(16)]
    stream = run("transformers", model=Regression(), data=data)
    assert stream.steps("layer/grad_norm") == [1, 2, 3, 4, 5, 6]


def test_ignite(run: Any) -> None:
    pytest.importorskip("ignite", reason="pytorch-ignite is not installed")
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = [(torch.randn(8, 4), torch.randn(8, 1)) for _ in range(2)]
    stream = run("ignite", model=model, optimizer=optimizer, loss=nn.MSELoss(), data=data)
    assert stream.steps("layer/grad_norm") == [1, 2, 3, 4, 5, 6]
    assert len(stream.steps("train/loss")) == 6
