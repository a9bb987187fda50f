"""A small training whose learning rate explodes half-way: something to watch.

Usage: train.py LOGDIR [STEPS [PAUSE_SECONDS]]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

import monitor


def main(logdir: Path, steps: int = 2000, pause: float = 0.1) -> None:
    """Trains for ``steps`` steps with ``pause`` seconds after each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    truth = torch.randn(8, 1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with monitor.watch(model, optimizer, logdir=logdir) as health:
        for step in range(steps):
            if step == steps // 2:
                optimizer.param_groups[0]["lr"] = 1e3
            inputs = torch.randn(32, 8)
            loss = (model(inputs) - inputs @ truth).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate = optimizer.param_groups[0]["lr"]
            health.log({"train/loss": loss.detach(), "train/lr": rate}, step)
            time.sleep(pause)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]), *map(float, sys.argv[3:4]))
