"""A small real training with a stretch of corrupt batches: ``python -m ... LOGDIR GO``.

It leaves such batches out, as many training loops do, but logs their loss, which is NaN. In the
middle it waits until the file GO is there. On standard output: when the first NaN was flushed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

CORRUPT = range(60, 70)
PAUSE_AT, STEPS = 75, 200


def main() -> None:
    logdir, go = map(Path, sys.argv[1:])
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with SummaryWriter(str(logdir)) as writer:
        for step in range(STEPS):
            x = torch.randn(64, 8)
            y = x.sum(dim=1, keepdim=True) + 0.1 * torch.randn(64, 1)
            if step in CORRUPT:
                x[0, 0] = torch.nan
            loss = torch.nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            if torch.isfinite(loss):
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            writer.add_scalar("train/loss", loss.detach(), step)
            writer.flush()
            if step == CORRUPT.start:
                print(time.time(), flush=True)
            while step == PAUSE_AT and not go.exists():
                time.sleep(0.05)


if __name__ == "__main__":
    main()
