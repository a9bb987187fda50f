"""One of two ranks: trains without and with the hook, and says what came of it.

    python -m tests.hook.rank {ddp|fsdp|bare} RANK DIRECTORY

Writes ``DIRECTORY/rank<RANK>.json``: whether both trainings were the same to the bit, and the
true norms of the whole gradients, which only all ranks together can compute.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

import monitor
from tests.hook.networks import Outcome, inputs, mlp

STEPS = 50


def network(kind: str) -> nn.Module:
    torch.manual_seed(3)
    model = mlp()
    if kind == "bare":
        return model
    if kind == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    for part in (model[0], model[3]):
        fully_shard(part)
    fully_shard(model)
    return model


def local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def train(kind: str, rank: int, logdir: Path | None) -> tuple[Outcome, list[float]]:
    model = network(kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    health = monitor.watch(model, optimizer, logdir=logdir, every=1) if logdir else None
    outcome, norms = Outcome(), []
    for step in range(STEPS):
        optimizer.zero_grad()
        output = model(inputs(nn.Linear(8, 1), 2 * step + rank))
        output.square().mean().backward()
        optimizer.step()
        if health:
            health.log({"train/loss": 1.0}, step)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        outcome.outputs.append(output.detach().clone())
        outcome.gradients += [local(g).clone() for g in grads]
        norms.append(sum(float(whole(g).double().square().sum()) for g in grads) ** 0.5)
    if health:
        health.close()
    outcome.state = {n: local(v).clone() for n, v in model.state_dict().items()}
    outcome.random = torch.get_rng_state()
    return outcome, norms


def main(kind: str, rank: int, directory: Path) -> None:
    store = torch.distributed.FileStore(  # type: ignore[attr-defined]
        str(directory / "store"), 2
    )
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    without, norms = train(kind, rank, None)
    with_, _ = train(kind, rank, directory / "run")
    said = {"same": without == with_, "norms": norms, "values": len(without.gradients)}
    (directory / f"rank{rank}.json").write_text(json.dumps(said))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
