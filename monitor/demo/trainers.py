"""Five small trainings on real data, four of them sick: ``python -m monitor.demo.trainers``.

Arguments: which one, and the log directory. Each is an ordinary script: a network, an optimizer,
TensorBoard's SummaryWriter, and the one line that attaches the hook. What is wrong with them is
wrong for real: nothing is written that the training did not produce.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

import monitor

Batches = Iterator[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Training:
    """What a script would spell out."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: nn.Module
    inputs: Tensor
    targets: Tensor
    steps: int
    batch: int = 64
    schedule: Callable[[int], float] = lambda _: 1.0
    """Step -> factor of the learning rate."""


def train(training: Training, logdir: Path) -> None:
    """The loop, with everything logged that people log."""
    writer = SummaryWriter(str(logdir))
    model, optimizer = training.model, training.optimizer
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, training.schedule)
    held_out = len(training.inputs) // 5
    validation = training.inputs[:held_out], training.targets[:held_out]
    batches = _batches(training, held_out)
    with monitor.watch(model, optimizer, logdir=writer.log_dir):
        for step in range(training.steps):
            inputs, targets = next(batches)
            optimizer.zero_grad()
            loss = training.loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            writer.add_scalar("train/lr", scheduler.get_last_lr()[0], step)
            if step % 100 == 99:
                writer.add_scalar("val/loss", _evaluate(training, *validation), step)
            scheduler.step()
    writer.close()


def _batches(training: Training, held_out: int) -> Batches:
    inputs, targets = training.inputs[held_out:], training.targets[held_out:]
    while True:
        for chosen in torch.randperm(len(inputs)).split(training.batch):
            yield inputs[chosen], targets[chosen]


def _evaluate(training: Training, inputs: Tensor, targets: Tensor) -> float:
    training.model.eval()
    with torch.no_grad():
        loss = training.loss(training.model(inputs), targets).item()
    training.model.train()
    return float(loss)


# --- data ---------------------------------------------------------------------------------


def digits() -> tuple[Tensor, Tensor]:
    """1,797 handwritten digits [N, 1, 8, 8], whitened, and their classes."""
    images, classes = load_digits(return_X_y=True)
    pixels = (images - images.mean()) / images.std()
    return torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(classes)


def diabetes() -> tuple[Tensor, Tensor]:
    """442 patients: ten whitened measurements and their squares; the disease a year later."""
    measured, progress = load_diabetes(return_X_y=True)
    whitened = measured / measured.std(axis=0)
    inputs = np.concatenate((whitened, whitened**2 - 1.0), axis=1)
    return (
        torch.tensor(inputs, dtype=torch.float32),
        torch.tensor(progress / progress.std(), dtype=torch.float32)[:, None],
    )


def picture_moments() -> tuple[Tensor, Tensor]:
    """The digits again, raw, with the ink's centre and spread to be regressed [N, 4]."""
    images, _ = load_digits(return_X_y=True)
    ink = images.reshape(-1, 8, 8)
    total = ink.sum(axis=(1, 2))
    grid = np.arange(8.0)
    x, y = ink.sum(axis=1) @ grid / total, ink.sum(axis=2) @ grid / total
    xx, yy = ink.sum(axis=1) @ grid**2 / total, ink.sum(axis=2) @ grid**2 / total
    moments = np.stack([x, y, xx - x**2, yy - y**2], axis=1)
    return (
        torch.tensor(ink, dtype=torch.float32).reshape(-1, 1, 8, 8),
        torch.tensor(moments, dtype=torch.float32),
    )


# --- the five -----------------------------------------------------------------------------


def article_bad_init() -> Training:
    """The article's regression conv net: normals of a fixed width as weights, no batch norm.

    Eight layers multiply the signal by a thousand each; the loss's square overflows, the first
    update leaves infinities behind.
    """
    layers: list[nn.Module] = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU()]
    for _ in range(8):
        layers += [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 64, 4))
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    return Training(model, optimizer, nn.MSELoss(), *picture_moments(), steps=120)


def lr_too_high() -> Training:
    """A network that learns in seconds at 0.001, at five hundred times that rate.

    Leaky, so that this is all that is wrong: plain ReLU units would die of it.
    """
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        nn.LeakyReLU(),
        nn.Linear(128, 64),
        nn.LeakyReLU(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    return Training(model, optimizer, nn.CrossEntropyLoss(), *digits(), steps=1000)


def plateau() -> Training:
    """Fast at first, then at the noise floor of a constant rate, until the tail decay."""
    inputs, targets = diabetes()
    model = nn.Linear(inputs.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def schedule(step: int) -> float:
        return 1.0 if step < 2000 else 0.03

    return Training(
        model, optimizer, nn.L1Loss(), inputs, targets, steps=2500, batch=32, schedule=schedule
    )


def deep_sigmoid() -> Training:
    """Twelve sigmoid layers: each passes on a quarter of the gradient at best."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, 64), nn.Sigmoid()]
    for _ in range(11):
        layers += [nn.Linear(64, 64), nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return Training(model, optimizer, nn.CrossEntropyLoss(), *digits(), steps=1200)


def healthy() -> Training:
    """A small conv net as it should be: whitened inputs, ReLU, Adam at 0.001."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return Training(model, optimizer, nn.CrossEntropyLoss(), *digits(), steps=800)


TRAINERS: dict[str, Callable[[], Training]] = {
    "article_bad_init": article_bad_init,
    "lr_too_high": lr_too_high,
    "plateau": plateau,
    "deep_sigmoid": deep_sigmoid,
    "healthy": healthy,
}


def main(name: str, logdir: Path) -> None:
    """Trains one of them."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    train(TRAINERS[name](), logdir)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
