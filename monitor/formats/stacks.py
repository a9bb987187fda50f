"""The hook's frames of one read, put together: a layer series is [T, N]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from monitor.formats.layerstats import ACT_NONFINITE, UPDATE_RATIO, Frame, Table
from monitor.points import LAYER_PREFIX, Floats, Ints, Layers, Points, SeriesKey


@dataclass(slots=True, eq=False)
class _Stack:
    """New frames of one table, all of the same layout."""

    table: Table
    layers: Layers
    rows: list[int] = field(default_factory=list)
    matrices: list[bytes] = field(default_factory=list)


class Stacks:
    """Takes frames; gives them back as points, once per read."""

    def __init__(self, run: str, writer: str) -> None:
        self._run = run
        self._writer = writer
        self._layouts: dict[str, tuple[Table, Layers]] = {}
        self._all: list[_Stack] = []
        self._latest: dict[str, _Stack] = {}

    def __len__(self) -> int:
        return len(self._all)

    def put(self, frame: Frame, row: int) -> None:
        """A frame that stands at event ``row`` of the read."""
        layers, table = self._layers(frame), frame.table
        stack = self._latest.get(frame.name)
        if stack is None or stack.layers is not layers or stack.table.columns != table.columns:
            stack = self._latest[frame.name] = _Stack(table, layers)
            self._all.append(stack)
        stack.rows.append(row)
        stack.matrices.append(frame.matrix)

    def take(self, steps: Ints, walls: Floats, clock: Floats) -> Iterator[Points]:
        """The frames since the last call; the arrays [M] are those of all events of the read."""
        taken, self._all, self._latest = self._all, [], {}
        for stack in taken:
            table, rows = stack.table, np.array(stack.rows, np.intp)
            shape = len(rows), len(table.names), len(table.columns)
            frames = np.frombuffer(b"".join(stack.matrices), "<f4").reshape(shape)
            stats = {
                stat: np.ascontiguousarray(frames[:, :, i], np.float64)
                for i, stat in enumerate(table.columns)
            }
            for stat, values in (stats | _derived(stats)).items():
                yield Points(
                    SeriesKey(self._run, LAYER_PREFIX + stat),
                    self._writer,
                    steps[rows],
                    walls[rows],
                    clock[rows],
                    values,
                    stack.layers,
                )

    def _layers(self, frame: Frame) -> Layers:
        """The same object for as long as the layout says the same, even when repeated."""
        table, known = frame.table, self._layouts.get(frame.name)
        if known is not None and known[0] is table:
            return known[1]
        layers = Layers(table.names, table.kinds, table.shapes, table.followed_by)
        if known is not None and known[1] == layers:
            layers = known[1]
        self._layouts[frame.name] = table, layers
        return layers


def _derived(stats: Mapping[str, Floats]) -> dict[str, Floats]:
    """What the frames imply, unless they say it themselves, as those of old writers do."""
    found = {}
    if {"act_absmax", "act_count"} <= stats.keys():
        # NaN where a module did not run.
        unknown = np.isnan(stats["act_count"])
        found[ACT_NONFINITE] = np.where(unknown, np.nan, ~np.isfinite(stats["act_absmax"]))
    if {"update_norm", "weight_norm"} <= stats.keys():
        # A fresh bias is all zeros: its first update has no ratio, not an infinite one.
        update, weight = stats["update_norm"], stats["weight_norm"]
        none = np.full_like(weight, np.nan)
        with np.errstate(invalid="ignore"):  # of weights that overflowed there is no ratio either
            found[UPDATE_RATIO] = np.divide(update, weight, out=none, where=weight > 0)
    return {stat: values for stat, values in found.items() if stat not in stats}
