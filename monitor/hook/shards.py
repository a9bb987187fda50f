"""Which piece of a parameter this rank holds, and how many ranks hold the same one.

Sharded parameters (FSDP2, tensor parallelism) are measured piece by piece, without asking any
other rank. Sums of squares of pieces add up; a piece that two ranks hold must count once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def world_size() -> int:
    """Ranks of this training; 1 without ``torch.distributed``."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def copies(parameter: Tensor, ranks: int) -> int:
    """How many of ``ranks`` ranks hold the very piece of ``parameter`` that this one holds.

    All of them, for an ordinary tensor; 1 where it is sharded over all ranks; in between for a
    tensor that is sharded within a group of ranks and replicated across groups.
    """
    mesh = getattr(parameter, "device_mesh", None)
    placements = getattr(parameter, "placements", None)
    if mesh is None or placements is None:
        return ranks
    pieces: int = math.prod(
        mesh.size(dim) for dim, placement in enumerate(placements) if placement.is_shard()
    )
    return max(1, ranks // max(1, pieces))


def sharded(model: nn.Module) -> bool:
    """Whether this rank holds only a piece of some parameter."""
    ranks = world_size()
    return ranks > 1 and any(copies(p, ranks) < ranks for p in model.parameters())
