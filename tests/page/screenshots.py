"""Pictures of the status page for the README: ``python -m tests.page.screenshots [FOLDER]``.

Real trainings, small and seeded, are logged into a fresh directory; a real daemon follows them, and
a real Chromium looks at it, in light and in dark.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import torch

import monitor
from tests.page.browser import api, chromium, visiting
from tests.processes import eventually, watching

FOLDER = Path(__file__).parents[2] / "docs" / "images"
STEPS = 600
RUNS_SHOWN = {"run-gradients": "mlp/deep-sigmoid", "run-loss": "mlp/lr-raised-late"}
SETTLE_MS = 300


@dataclass(frozen=True)
class Training:
    """A small net with something about it."""

    name: str
    rate: float = 1e-3
    depth: int = 3
    activation: type[torch.nn.Module] = torch.nn.ReLU
    at: int = STEPS
    """From this step on the rate is ``then`` times as high."""
    then: float = 1.0
    steps: int = STEPS


TRAININGS = [
    Training("resnet/seed-1"),
    Training("resnet/seed-2", rate=2e-3),
    Training("resnet/seed-3", rate=5e-4),
    Training("mlp/deep-sigmoid", depth=14, activation=torch.nn.Sigmoid, steps=300),
    Training("mlp/lr-0.3", rate=0.3),
    Training("mlp/lr-1e-3"),
    Training("mlp/lr-raised-late", at=420, then=300.0),
    Training("mlp/lr-1e9-from-step-350", at=350, then=1e12),
]


def train(training: Training, logdir: Path, seed: int) -> None:
    """Trains it with the hook attached."""
    torch.manual_seed(seed)
    inputs, held_out = torch.randn(256, 16), torch.randn(128, 16)
    widths = [16, *[32] * training.depth]
    hidden = [
        part for a, b in pairwise(widths) for part in (torch.nn.Linear(a, b), training.activation())
    ]
    model = torch.nn.Sequential(*hidden, torch.nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=training.rate)

    def truth(x: torch.Tensor) -> torch.Tensor:
        return x.sum(1, keepdim=True).tanh() + 0.05 * torch.randn(len(x), 1)

    targets, expected = truth(inputs), truth(held_out)
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.nn.functional.mse_loss
    with monitor.watch(
        model, optimizer, logdir=logdir / training.name, every=2, budget=1.0
    ) as health:
        for step in range(training.steps):
            if step == training.at:
                optimizer.param_groups[0]["lr"] *= training.then
            chosen = torch.randint(0, 256, (32,))
            optimizer.zero_grad()
            loss = loss_of(model(inputs[chosen]), targets[chosen])
            loss.backward()
            optimizer.step()
            row = {"train/loss": loss, "lr": optimizer.param_groups[0]["lr"]}
            if step % 20 == 0:
                with torch.no_grad():
                    row["val/loss"] = loss_of(model(held_out), expected)
            health.log(row, step)


def shoot(browser: api.Browser, address: str, folder: Path) -> None:
    """Both pages in both schemes."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        with visiting(browser, address, scheme=scheme, height=460) as visit:
            api.expect(visit.page.locator("table.runs tbody tr")).to_have_count(len(TRAININGS))
            visit.page.screenshot(path=folder / f"runs-{scheme}.png")
        for name, run in RUNS_SHOWN.items():
            path = f"/?run={quote(run, safe='')}"
            with visiting(browser, address, path, scheme=scheme) as visit:
                caption = visit.page.locator("figcaption").last
                api.expect(caption).to_contain_text("depth order")
                visit.page.wait_for_timeout(SETTLE_MS)
                visit.page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)


def main(folder: Path) -> None:
    """Trains, watches, looks."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        logs = Path(name)
        for seed, training in enumerate(TRAININGS):
            train(training, logs, seed)
        with watching(logs) as watch, chromium() as browser:
            eventually(watch.alerts)
            shoot(browser, watch.address, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
