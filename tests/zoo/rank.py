"""One of two ranks of a distributed run: ``python -m tests.zoo.rank FAULT RANK SEED PLACE SYNC``.

Both log to the same directory, as people do who forget that only rank 0 should: the curves of
rank 1 are in ``PLACE/rank1``.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import distributed, nn

from tests.zoo.networks import mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits

RANKS = 2
STEPS = 400
SKIPS_FROM = 150


def train(fault: str, rank: int, script: Script) -> None:
    """The data of each rank is its own half."""
    x, y, _, _ = digits(seed=script.seed)
    x, y = x[rank::RANKS], y[rank::RANKS]
    torch.manual_seed(script.seed)
    bare = mlp(64, 48, 10)
    model = bare if fault == "not_averaged" else nn.parallel.DistributedDataParallel(bare)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    draw = torch.Generator().manual_seed(script.seed * RANKS + rank)
    place = "" if rank == 0 else f"rank{rank}"
    with script.watch(model, optimizer):
        for step in range(STEPS):
            chosen = torch.randint(0, len(x), (32,), generator=draw)
            optimizer.zero_grad()
            loss = cross_entropy(model, x[chosen], y[chosen])
            loss.backward()
            if fault == "own_schedule":
                # The scheduler is stepped by the process that writes the checkpoints.
                decay = 0.5 ** (step // 100) if rank == 0 else 1.0
                optimizer.param_groups[0]["lr"] = 2e-3 * decay
            if not (fault == "one_skips" and rank == 1 and step >= SKIPS_FROM):
                optimizer.step()
            else:
                optimizer.zero_grad()
                optimizer.step()
            script.clock.sleep(0.25)
            script.scalar("train/loss", float(loss), step, place)


def main(fault: str, rank: str, seed: str, place: str, sync: str) -> None:
    """Joins the other rank and trains."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distributed.init_process_group(
        "gloo", init_method=f"file://{sync}/meet", rank=int(rank), world_size=RANKS
    )
    with Script(Path(place), int(seed)) as script:
        train(fault, int(rank), script)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
