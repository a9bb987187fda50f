"""A small real training that goes bad when it is told to.

    python -m tests.page.training LOGDIR GO

Logs its loss and its layers; once the file GO exists its learning rate is a million times as high.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

import monitor

STEPS = 20_000


def main(logdir: Path, go: Path) -> None:
    """Trains until it has been bad for 100 steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = torch.randn(256, 8)
    targets = inputs.sum(dim=1, keepdim=True)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    left = STEPS
    with monitor.watch(model, optimizer, logdir=logdir, every=5) as health:
        for step in range(STEPS):
            left = min(left, 100) if go.exists() else left
            optimizer.param_groups[0]["lr"] = 0.01 if left > 100 else 1e4
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            health.log({"train/loss": loss, "lr": optimizer.param_groups[0]["lr"]}, step)
            left -= 1
            if left <= 0:
                return
            time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
