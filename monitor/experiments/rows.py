"""Which rows of a batch are to be overfitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monitor.experiments.axes import Layout
from monitor.experiments.report import Finding
from monitor.experiments.script import TARGETS, split
from monitor.experiments.trees import floats, tensors
from monitor.experiments.trial import Trial

FEWEST = 2
"""One row proves little: a constant output fits it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The batch to be overfitted, in words too, and what was odd about it."""

    batch: Any
    words: str
    findings: Sequence[Finding] = ()


def choose(trial: Trial) -> Rows:
    """Rows with different inputs, and no more than the parameters can hold.

    What can be memorised is bounded by the number of trained parameters: a linear model of 9
    parameters cannot pass through 32 noisy points. Two parameters for each number that is put
    out are taken to be enough; a network has many more. Of too many rows, those are taken that
    are spread evenly over the range of the targets, its ends included.
    """
    layout = trial.layout
    if layout is None:
        return Rows(trial.batch, "the whole batch")
    unique, conflicts = _unique(trial.batch, layout)
    findings = [_conflict(conflicts, layout.size)] if conflicts else []
    output = sum(t.numel() for t in floats(trial.first.output if trial.first else None))
    parameters = sum(p.numel() for p in trial.replica().trained())
    room = max(FEWEST, int(parameters / (2 * max(1, output / layout.size))))
    if room < len(unique):
        unique = _spread(trial.batch, layout, unique, room)
    if len(unique) == layout.size:
        return Rows(trial.batch, f"{layout.size} rows", findings)
    words = f"{len(unique)} of {layout.size} rows"
    return Rows(layout.take(trial.batch, sorted(unique)), words, findings)


def _target(batch: Any) -> Any:
    return split(batch, whole=False)[2]


def _keys(batch: Any, layout: Layout, *, target: bool) -> list[tuple[int, ...]]:
    """A hash of each row of the inputs, or of the target, to the bit."""
    chosen = _target(batch) if target else split(batch, whole=False)[:2]
    keys: list[tuple[int, ...]] = [()] * layout.size
    for _, tensor in tensors(chosen):
        axis = layout.rows_of(tensor)
        if axis is None or tensor.layout is not torch.strided or tensor.numel() == 0:
            continue
        rows = tensor.detach().cpu().movedim(axis, 0).reshape(layout.size, -1).contiguous()
        octets = rows.view(torch.uint8)
        # Odd multipliers and sums that wrap: rows that differ collide once in 2**63 times.
        factors = torch.randint(-(2**62), 2**62, octets.shape[1:]) * 2 + 1
        for i, row in enumerate(octets):
            keys[i] += (int((row.to(torch.int64) * factors).sum()),)
    return keys


def _unique(batch: Any, layout: Layout) -> tuple[list[int], int]:
    """Rows whose inputs did not come before; how many of the others have another target."""
    inputs, targets = (_keys(batch, layout, target=t) for t in (False, True))
    first: dict[tuple[int, ...], int] = {}
    conflicts = 0
    for i, key in enumerate(inputs):
        if key in first:
            conflicts += targets[i] != targets[first[key]]
        first.setdefault(key, i)
    return list(first.values()), conflicts


def _spread(batch: Any, layout: Layout, rows: list[int], room: int) -> list[int]:
    """``room`` of the rows, in the order of their targets' means, evenly."""
    target = _target(batch)
    if isinstance(target, Tensor) and (axis := layout.rows_of(target)) is not None:
        means = target.detach().movedim(axis, 0).reshape(layout.size, -1).float().mean(1).tolist()
        rows = sorted(rows, key=means.__getitem__)
    return [rows[round(i * (len(rows) - 1) / (room - 1))] for i in range(room)]


def _conflict(count: int, size: int) -> Finding:
    return Finding(
        "overfit",
        "info",
        f"{count} of {size} rows have the same input as another row and a different target",
        "No network can fit both; they were left out here. In noisy data that is as it is; else "
        "labels or inputs are mixed up.",
        f"Look at such rows. The target is taken from the last item or from {', '.join(TARGETS)}.",
    )
