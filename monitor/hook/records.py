"""What travels through the writer's queue: numbers on their way from the device to the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from monitor.formats.layerstats import Header, encode_frame
from monitor.hook import frames
from monitor.hook.layout import Layout
from monitor.hook.modules import Activations
from monitor.hook.parameters import Norms
from monitor.hook.tensors import HostCopy


@dataclass(frozen=True, slots=True)
class Scalars:
    """Numbers of one ``log`` call, some still on their way from a device."""

    step: int
    wall_time: float
    numbers: Mapping[str, float]
    tags: tuple[str, ...]
    tensors: HostCopy
    header: Header | None = None

    def ready(self) -> bool:
        """Whether the numbers have arrived on the host."""
        return self.tensors.ready()

    def encode(self) -> bytes:
        """The record's payload."""
        arrived = zip(self.tags, self.tensors.values().tolist(), strict=True)
        return encode_frame(self.step, self.wall_time, 0, {}, {**self.numbers, **dict(arrived)})


@dataclass(frozen=True, slots=True)
class Frame:
    """The statistics of one step, on their way from the device."""

    step: int
    wall_time: float
    layout: Layout
    activations: Activations
    norms: tuple[Norms, ...]
    values: HostCopy
    """Of the activations, the norms, and the scalars named by ``tags``, in this order."""
    scalars: Mapping[str, float]
    tags: tuple[str, ...]
    look: Callable[[float, bool], None]
    """Told the gradient's norm and whether anything is not finite."""
    more: Mapping[str, tuple[int, int, bytes]] = field(default_factory=dict)
    """Tables that are known already: name -> (rows, columns, float32 little-endian)."""

    @property
    def header(self) -> Header | None:
        """The header that says what the tables' rows are."""
        return self.layout.header

    def ready(self) -> bool:
        """Whether the numbers have arrived on the host."""
        return self.values.ready()

    def encode(self) -> bytes:
        """The record's payload."""
        header, rows = self.layout.header, self.layout.parameter_rows
        numbers = frames.Numbers(self.values.values())
        modules = frames.module_table(
            self.activations, len(header.tables["modules"].names), numbers
        )
        scalars = {**self.scalars, **frames.input_scalars(self.activations, numbers)}
        parameters = frames.parameter_table(self.norms, rows, numbers)
        # A piece's norm is nobody's gradient; the daemon adds up those of all ranks.
        known = parameters.nonfinite or not math.isnan(parameters.grad_norm)
        if known and not self.layout.sharded:
            scalars["health/grad_norm"] = parameters.grad_norm
        scalars.update(zip(self.tags, numbers.take(len(self.tags)).tolist(), strict=True))
        self.look(parameters.grad_norm, frames.any_nonfinite(modules) or parameters.nonfinite)
        tables = {
            name: (table.shape[0], table.shape[1], frames.as_bytes(table))
            for name, table in (("modules", modules), ("parameters", parameters.table))
            if table.shape[0]
        }
        tables.update(self.more)
        return encode_frame(self.step, self.wall_time, header.generation, tables, scalars)
