"""Does output i depend on input j: a batch axis that was mixed up by a reshape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monitor.experiments.axes import Layout, layouts
from monitor.experiments.guard import seed
from monitor.experiments.norms import bypass_batch_statistics
from monitor.experiments.report import Finding, Outcome, Unknown
from monitor.experiments.text import number
from monitor.experiments.trees import cloned, mapped, tensors, usable
from monitor.experiments.trial import SEED, Replica, Trial

NAME = "batch_axis"

ROWS = 3
"""Rows looked at: first, middle, last. A reshape that mixes mixes nearly all of them."""

SMALL = 1e-6
"""Share of a gradient that counts as none. Rows that do not see each other have exactly 0."""

CHANGED = 1e-3
"""Change of another row's output, as a share of the largest change, that counts as one, where
inputs are replaced rather than differentiated: kernels may round otherwise from row to row."""


def check(trial: Trial, axis: int | None) -> Outcome:
    """The gradient of row i of the output with respect to all other rows of the input is zero.

    In evaluation mode, so that dropout is off and batch norm uses its running statistics; batch
    norms that keep none are bypassed. What is differentiated is the model's output, never the
    loss: contrastive losses couple rows there, by right. Integer inputs, which have no gradient,
    are replaced row by row by another row of the batch instead.

    Fails where another row has part in it along the first axis. Where the tensors fit a
    sequence-first reading too ([time, batch]) and rows are independent along axis 1, which of
    the two is meant cannot be known: that is said, as information, unless ``axis`` tells. Source:
    the BYU article's "check reshapes".
    """
    replica = _quiet(trial.replica(train=False))
    given, output = _signature(replica, trial)
    found, reason = layouts(given, output, axis)
    if not found:
        raise Unknown(reason)
    coupled = [(layout, _coupling(replica, trial, layout, given)) for layout in found]
    layout, first = coupled[0]
    size = f"{layout.size} rows along axis {layout.axis}"
    if first.others == 0:
        if first.own == 0 and not _hears(replica, trial, layout) and _stays_deaf(trial, layout):
            if trial.silent:
                raise Unknown(f"{size}: no row's output depends on its input (see gradients)")
            return Outcome(f"{size}: no row's output depends on its input", [_deaf(size)])
        return Outcome(f"{size}: each output depends on its own input only ({first.method})")
    if len(coupled) > 1 and coupled[1][1].others == 0 < coupled[1][1].own:
        other = coupled[1][0]
        note = f"rows are independent along axis {other.axis} ({other.size}), not axis 0"
        return Outcome(note, [_either(note)])
    return Outcome(f"{size}: outputs depend on other rows", [_mixed(size, first)])


def _quiet(replica: Replica) -> Replica:
    """The replica in evaluation mode, without what couples rows by right."""
    replica.model.eval()
    for module in replica.model.modules():
        if isinstance(module, nn.RNNBase):  # cuDNN differentiates RNNs in training mode only
            module.training, module.dropout = True, 0.0
    bypass_batch_statistics(replica.model)
    return replica


def _stays_deaf(trial: Trial, layout: Layout) -> bool:
    """Whether the output still does not depend on the input after some steps: a last layer that
    starts at zero on purpose does from the first one on.
    """
    if trial.first is None or trial.blocked:
        return True
    replica = trial.replica()
    optimizer = torch.optim.Adam(replica.trained(), lr=1e-3)
    for _ in range(ROWS):
        optimizer.zero_grad()
        replica.loss(trial.batch).backward()
        optimizer.step()
    return not _hears(_quiet(replica), trial, layout)


def _hears(replica: Replica, trial: Trial, layout: Layout) -> bool:
    """Whether any output changes when every row is replaced by the next one."""
    outputs = []
    for batch in (trial.batch, layout.take(trial.batch, [*range(1, layout.size), 0])):
        seed(SEED)
        outputs.append(_outputs(replica.script.output(replica.model, cloned(batch)), layout))
    return any(not torch.equal(a, b) for a, b in zip(*outputs, strict=True))


@dataclass(frozen=True, slots=True)
class Coupling:
    """How much sampled rows of the output depend on their own row and on others, in any unit."""

    own: float
    others: float
    pair: tuple[int, int]
    method: str


def _signature(replica: Replica, trial: Trial) -> tuple[list[Tensor], Any]:
    """(tensors that the model is called with, its output)."""
    calls: list[Any] = []
    handle = replica.model.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    try:
        output = replica.script.output(replica.model, cloned(trial.batch))
    finally:
        handle.remove()
    if not calls or output is None:
        raise Unknown("the model itself is not called, only parts of it")
    args, kwargs = calls[0]
    inputs = [t for _, t in tensors(args)] + [t for _, t in tensors(kwargs)]
    return inputs, output


def _coupling(replica: Replica, trial: Trial, layout: Layout, given: list[Tensor]) -> Coupling:
    """By gradient where inputs have one, by replacing rows where they have none."""
    by_gradient = _gradients(replica, trial, layout)
    if by_gradient is not None and by_gradient.others > 0:
        return by_gradient
    whole = all(usable(t) for t in given if layout.has_rows(t))
    if whole and by_gradient is not None and by_gradient.own > 0:
        return by_gradient
    replaced = _replacing(replica, trial, layout)
    if by_gradient is not None and by_gradient.own > 0 == replaced.own:
        return by_gradient
    return replaced


def _rows(size: int) -> list[int]:
    return sorted({0, size // 2, size - 1})[:ROWS]


def _outputs(output: object, layout: Layout) -> list[Tensor]:
    """The batched floating-point tensors of an output, rows first."""
    axis, size = layout.output_axis, layout.size
    return [
        t.movedim(axis, 0)
        for _, t in tensors(output)
        if usable(t) and t.ndim > axis and t.shape[axis] == size
    ]


def _gradients(replica: Replica, trial: Trial, layout: Layout) -> Coupling | None:
    """From a sum of row i's outputs with random weights, so that no two cancel (a softmax)."""
    leaves: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        if not usable(tensor) or not layout.has_rows(tensor):
            return tensor.detach().clone()
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()  # not the leaf itself: the model may work in place

    seed(SEED)
    outputs = _outputs(replica.script.output(replica.model, mapped(trial.batch, leaf)), layout)
    outputs = [o for o in outputs if o.requires_grad]
    if not leaves or not outputs:
        return None
    own, others, pair = 0.0, 0.0, (0, 0)
    for i in _rows(layout.size):
        total = sum(((o[i] * torch.randn_like(o[i])).sum() for o in outputs), torch.zeros(()))
        gradients = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
        sizes = torch.zeros(layout.size, dtype=torch.float64)
        for gradient in gradients:
            if gradient is not None:
                rows = gradient.movedim(layout.axis, 0).reshape(layout.size, -1)
                sizes += rows.abs().amax(1).cpu().double()
        own = max(own, float(sizes[i]))
        strongest, j = _strongest(sizes, i)
        if strongest > max(others, SMALL * float(sizes.max())):
            others, pair = strongest, (i, j)
    return Coupling(own, others, pair, "by gradient")


def _strongest(sizes: Tensor, i: int) -> tuple[float, int]:
    """The largest of all but ``i``; NaN, which has reached another row, counts as largest."""
    rest = torch.nan_to_num(sizes, nan=float("inf"))
    rest[i] = -1.0
    j = int(rest.argmax())
    return float(rest[j]), j


def _replacing(replica: Replica, trial: Trial, layout: Layout) -> Coupling:
    """From replacing row j of every tensor by another row and seeing whose output changes."""

    def outputs(batch: Any) -> list[Tensor]:
        seed(SEED)
        found = replica.script.output(replica.model, cloned(batch))
        return [o.detach().double().cpu() for o in _outputs(found, layout)]

    before = outputs(trial.batch)
    own, others, pair = 0.0, 0.0, (0, 0)
    for j in _rows(layout.size):
        index = list(range(layout.size))
        index[j] = (j + 1) % layout.size
        after = outputs(layout.take(trial.batch, index))
        sizes = torch.zeros(layout.size, dtype=torch.float64)
        for a, b in zip(before, after, strict=True):
            sizes += (a - b).reshape(layout.size, -1).abs().amax(1)
        own = max(own, float(sizes[j]))
        strongest, i = _strongest(sizes, j)
        if strongest > max(others, CHANGED * float(sizes.max())):
            others, pair = strongest, (i, j)
    return Coupling(own, others, pair, "by replacing rows")


def _mixed(size: str, found: Coupling) -> Finding:
    i, j = found.pair
    return Finding(
        NAME,
        "critical",
        f"of {size}, output {i} depends on input {j} ({found.method}: {number(found.others)}, on "
        f"its own input {number(found.own)})",
        "A reshape, view or transpose mixes the batch axis with another one, a recurrent or "
        "attention layer takes axis 0 for time (batch_first=False), or a softmax or mean runs "
        "over axis 0. The network then learns from other rows' data.",
        "Print shapes before and after every reshape; use permute to swap axes and reshape only "
        "to join or split neighbours; set batch_first=True. If rows are coupled on purpose "
        "(graphs, statistics over the batch), leave this check out: skip=('batch_axis',).",
    )


def _either(note: str) -> Finding:
    return Finding(
        NAME,
        "info",
        note,
        "Right for [time, batch] data. Wrong for [batch, time] data, which a recurrent or "
        "attention layer with batch_first=False takes for its transpose.",
        "Say which axis is the batch: preflight(..., batch_axis=0) or batch_axis=1.",
    )


def _deaf(size: str) -> Finding:
    return Finding(
        NAME,
        "critical",
        f"none of the outputs depends on the input ({size})",
        "The signal is lost on the way: all units of a layer dead (ReLU) or saturated, a "
        "multiplication by 0, or an input that is not used.",
        "Look at signal_scale; whiten the inputs; use variance-scaling initialisation.",
    )
