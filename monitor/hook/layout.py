"""Rows and names: from what the forward pass executed to the header of the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from monitor.formats.layerstats import MODULE_STATS, PARAMETER_STATS, Header, Table
from monitor.hook.index import Index
from monitor.hook.modules import ModuleWatch
from monitor.hook.parameters import Parameter
from monitor.hook.shards import world_size

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_PARALLEL = ("DistributedDataParallel", "DataParallel")


@dataclass(frozen=True, slots=True)
class Layout:
    """A header, and where the columns of a step's measurements go."""

    header: Header
    parameter_rows: Index
    """Row of each parameter, in ``named_parameters`` order."""
    sharded: bool = False
    """Some parameter is here in part only."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside data parallelism and compilation, whose names its author knows."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in _PARALLEL:
            inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def plain(name: str) -> str:
    """``name`` without the parts that wrappers inside the model put in; the root is ``model``."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS) or "model"


def depth_order(owners: Sequence[str], executed: Sequence[str]) -> list[int]:
    """Indices of ``owners`` sorted by when they ran; ties keep their order.

    ``executed``: names of modules in the order of their first execution. A container counts as
    running when its first part does. A module that did not run stands behind its siblings, or
    last if none of them did.
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for row, name in enumerate(executed):
        container = name
        while True:
            first.setdefault(container, row)
            last[container] = row
            if not container:
                break
            container = container.rpartition(".")[0]

    def position(owner: str) -> float:
        if owner in first:
            return first[owner]
        while owner:
            owner = owner.rpartition(".")[0]
            if owner in last:
                return last[owner] + 0.5
        return float(len(executed))

    return sorted(range(len(owners)), key=lambda i: position(owners[i]))


def layout(
    generation: int,
    modules: ModuleWatch,
    parameters: Sequence[Parameter],
    facts: Mapping[str, str],
    more: Mapping[str, Table],
) -> Layout:
    """The header for what is known now; ``more`` are tables besides those two."""
    followed_by = {
        modules.names[index]: _plain_activation(text) for index, text in modules.followed_by.items()
    }
    executed = [modules.names[index] for index in modules.order]
    order = depth_order([p.owner for p in parameters], executed)
    rows = [0] * len(order)
    for row, index in enumerate(order):
        rows[index] = row
    sorted_parameters = [parameters[index] for index in order]
    tables = {
        "modules": Table(
            columns=MODULE_STATS,
            names=tuple(plain(name) for name in executed),
            kinds=tuple(modules.kinds[index] for index in modules.order),
            shapes=tuple(() for _ in executed),
            followed_by=tuple(followed_by.get(name, "") for name in executed),
        ),
        "parameters": Table(
            columns=PARAMETER_STATS,
            names=tuple(plain(p.name) for p in sorted_parameters),
            kinds=tuple(p.kind for p in sorted_parameters),
            shapes=tuple(p.shape for p in sorted_parameters),
            followed_by=tuple(followed_by.get(p.owner, "") for p in sorted_parameters),
        ),
        **more,
    }
    known = dict(facts)
    held = [p.copies for p in sorted_parameters]
    sharded = any(count < world_size() for count in held)
    if sharded:
        known["parameter_copies"] = _copies(held)
    return Layout(Header(generation, tables, known), Index(rows), sharded)


def _copies(held: Sequence[int]) -> str:
    """One number for all rows if they agree, else one for each."""
    return str(held[0]) if len(set(held)) == 1 else ",".join(map(str, held))


def _plain_activation(text: str) -> str:
    name, _, kind = text.rpartition(":")
    return f"{plain(name)}:{kind}"
