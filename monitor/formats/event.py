"""TensorBoard events to points: the payloads of one file in, columns per series out. No I/O.

A scalar is a ``simple_value``, or a tensor of one number whose plugin is ``scalars``. TF2 writers
name the plugin with the first value of a tag only, so it is remembered per tag; if that record
was lost, a tensor of one number counts as a scalar. File names decide nothing. Everything else
(histograms, images, graphs, text, hparams) is skipped without a look inside.

Most values differ from an earlier one in nothing but wall time, step and their last four bytes.
So the bytes in between are looked up in a dict of templates, and only an unknown template is
parsed field by field.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.formats import wire
from monitor.formats.layerstats import (
    PLUGIN,
    End,
    Frame,
    Header,
    LayerDecoder,
    LayoutError,
    Scalar,
    Table,
)
from monitor.formats.proto import event_fields, plugin_data, signed, tensor_number, value_fields
from monitor.points import LAYER_PREFIX, Batch, Floats, Ints, Layers, Points, SeriesKey

_HEAD = struct.Struct("<BdBB")  # key of the wall time, wall time, key of the step, its first byte
_WALL_KEY, _STEP_KEY, _SUMMARY_KEY = 0x09, 0x10, 0x2A
_AFTER_WALL = frozenset((_STEP_KEY, _SUMMARY_KEY))
_FLOAT = struct.Struct("<f")
_STOP = 2
_SKIPPED_TAGS = b"_hparams_/"
_SCALARS = b"scalars"
_MAX_TEMPLATES = 20_000
_MAX_TAGS = 20_000


@dataclass(slots=True, eq=False)
class _Column:
    """New values of one scalar series; ``rows`` says at which events of the batch."""

    key: SeriesKey
    rows: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Stack:
    """New frames of one table, all of the same layout."""

    table: Table
    layers: Layers
    rows: list[int] = field(default_factory=list)
    matrices: list[bytes] = field(default_factory=list)


class EventDecoder:
    """Decodes one file's events, in file order.

    ``run`` and ``writer`` are passed on into the batches.
    """

    def __init__(self, run: str, writer: str) -> None:
        self.run = run
        self.writer = writer
        self.unusable = 0
        """Payloads so far that were no valid event, or held a layer record without sense."""
        self._plugins: dict[bytes, bytes] = {}
        self._columns: dict[bytes, _Column] = {}
        self._singles: dict[bytes, _Column] = {}
        self._values: dict[bytes, _Column] = {}
        self._layer_decoder = LayerDecoder()
        self._layouts: dict[str, tuple[Table, Layers]] = {}
        self._clock = 0.0
        self._finished = False
        self._stopped = False
        self._begin()

    def _begin(self) -> None:
        """Forgets the last batch."""
        self._walls: list[float] = []
        self._steps: list[int] = []
        self._order: list[_Column | _Stack] = []
        self._stacks: dict[str, _Stack] = {}
        self._facts: dict[str, str] = {}
        self._stop_row = -1

    def decode(self, payloads: Sequence[bytes]) -> Batch:
        """What the next ``payloads`` of the file say; what is unusable is counted and skipped."""
        head, number = _HEAD.unpack_from, _FLOAT.unpack_from
        walls, steps, order, singles = self._walls, self._steps, self._order, self._singles
        for payload in payloads:
            size = len(payload)
            if size > 15:
                key, wall, step_key, step = head(payload)
                at = 11
                if step_key == _SUMMARY_KEY:
                    step, at = 0, 9
                elif step > 0x7F:
                    step, at = _varint(payload, step)
                column = singles.get(payload[at:-4])
                if column is not None and key == _WALL_KEY and step_key in _AFTER_WALL:
                    if not column.rows:
                        order.append(column)
                    column.rows.append(len(walls))
                    column.values.append(number(payload, size - 4)[0])
                    walls.append(wall)
                    steps.append(step)
                    continue
            try:
                self._event(payload)
            except wire.WireError:
                self.unusable += 1
        return self._finish()

    # --- the long way -------------------------------------------------------------------

    def _event(self, payload: bytes) -> None:
        """One event, field by field. WireError if it is none; nothing of it counts then."""
        event = event_fields(payload)
        row, sound = len(self._walls), True
        scalars: list[tuple[_Column, float]] = []
        records: list[Header | Frame | End] = []
        for value in event.values:
            column = self._values.get(value[:-4])
            if column is not None:
                scalars.append((column, _FLOAT.unpack_from(value, len(value) - 4)[0]))
                continue
            try:
                self._value(value, scalars, records)
            except (LayoutError, ArithmeticError, RecursionError):
                sound = False  # A header's JSON can hold infinities, and nest without end.
        self.unusable += not sound
        self._walls.append(event.wall_time)
        self._steps.append(event.step)
        if event.status == _STOP:
            self._stop_row = row
        for column, number in scalars:
            if not column.rows:
                self._order.append(column)
            column.rows.append(row)
            column.values.append(number)
        for record in records:
            self._record(record, row)
        if len(event.values) == 1:
            self._learn_single(payload, event.values[0])

    def _value(
        self,
        value: bytes,
        scalars: list[tuple[_Column, float]],
        records: list[Header | Frame | End],
    ) -> None:
        """One summary value; adds what it holds to ``scalars`` or ``records``."""
        tag, kind, body, metadata = value_fields(value)
        plugin, content = plugin_data(metadata) if metadata else (b"", b"")
        if plugin == PLUGIN:
            record = self._layer_decoder.decode(tag.decode(errors="replace"), content, body)
            if isinstance(record, Scalar):
                scalars.append((self._column(record.tag.encode()), record.value))
            else:
                records.append(record)
            return
        if plugin and tag not in self._plugins:
            self._remember(tag, plugin)
        if tag.startswith(_SKIPPED_TAGS):
            return
        number, at_end = None, False
        if kind == 2:
            number, at_end = _FLOAT.unpack(body)[0], True
            plain = wire.field_bytes(1, tag) + b"\x15" + body
        elif kind == 8 and self._plugins.get(tag, _SCALARS) == _SCALARS:
            number, at_end = tensor_number(body)
            plain = wire.field_bytes(1, tag) + wire.field_bytes(8, body)
        if number is None:
            return
        column = self._column(tag)
        scalars.append((column, number))
        if at_end and value == plain:
            if len(self._values) >= _MAX_TEMPLATES:
                self._values.clear()
            self._values[value[:-4]] = column

    def _remember(self, tag: bytes, plugin: bytes) -> None:
        """The first plugin named for a tag counts; templates made without it do not."""
        if len(self._plugins) >= _MAX_TAGS:
            self._plugins.clear()
        self._plugins[tag] = plugin
        if tag in self._columns and plugin != _SCALARS:
            self._singles.clear()
            self._values.clear()

    def _column(self, tag: bytes) -> _Column:
        column = self._columns.get(tag)
        if column is None:
            key = SeriesKey(self.run, tag.decode(errors="replace"))
            column = self._columns[tag] = _Column(key)
        return column

    def _learn_single(self, payload: bytes, value: bytes) -> None:
        """Makes a template of an event that is wall time, step and one scalar, in this order."""
        column = self._values.get(value[:-4])
        if column is None or payload[:1] != b"\x09":
            return
        rest = wire.field_bytes(5, wire.field_bytes(1, value))
        between = payload[9 : len(payload) - len(rest)]
        plain = not between or (
            between[0] == _STEP_KEY and _varint_ends(between) and len(between) <= 11
        )
        if plain and payload.endswith(rest):
            if len(self._singles) >= _MAX_TEMPLATES:
                self._singles.clear()
            self._singles[rest[:-4]] = column

    def _record(self, record: Header | Frame | End, row: int) -> None:
        if isinstance(record, Header):
            self._facts.update(record.facts)
        elif isinstance(record, End):
            self._finished = True
        else:
            layers = self._layers(record)
            stack = self._stacks.get(record.name)
            if stack is None or stack.layers is not layers or not _alike(stack, record.table):
                stack = self._stacks[record.name] = _Stack(record.table, layers)
                self._order.append(stack)
            stack.rows.append(row)
            stack.matrices.append(record.matrix)

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

    # --- columns ------------------------------------------------------------------------

    def _finish(self) -> Batch:
        """Everything gathered since the last batch, as arrays."""
        points: list[Points] = []
        if self._walls:
            walls = np.array(self._walls, np.float64)
            steps = np.array(self._steps, np.int64)
            finite = np.where(np.isfinite(walls), walls, self._clock)
            clock = np.maximum(np.maximum.accumulate(finite), self._clock)
            self._clock = float(clock[-1])
            self._stopped = self._stop_row == len(walls) - 1
            for gathered in self._order:
                points.extend(self._points(gathered, steps, walls, clock))
        ended = self._finished or self._stopped
        batch = Batch(self.run, self.writer, tuple(points), self._facts, ended)
        for gathered in self._order:
            if isinstance(gathered, _Column):
                gathered.rows, gathered.values = [], []
        if len(self._columns) > _MAX_TAGS:
            for cache in (self._columns, self._singles, self._values):
                cache.clear()
        self._begin()
        return batch

    def _points(
        self, gathered: _Column | _Stack, steps: Ints, walls: Floats, clock: Floats
    ) -> list[Points]:
        rows = np.array(gathered.rows, np.intp)
        when = steps[rows], walls[rows], clock[rows]
        if isinstance(gathered, _Column):
            values = np.array(gathered.values, np.float64)
            return [Points(gathered.key, self.writer, *when, values)]
        table = gathered.table
        shape = len(rows), len(table.names), len(table.columns)
        frames = np.frombuffer(b"".join(gathered.matrices), "<f4").reshape(shape)
        return [
            Points(
                SeriesKey(self.run, LAYER_PREFIX + stat),
                self.writer,
                *when,
                np.ascontiguousarray(frames[:, :, i], np.float64),
                gathered.layers,
            )
            for i, stat in enumerate(table.columns)
        ]


def _alike(stack: _Stack, table: Table) -> bool:
    return stack.table is table or stack.table.columns == table.columns


def _varint(payload: bytes, value: int) -> tuple[int, int]:
    """The step, whose first byte ``value`` at 10 says that more follow, and where it ends.

    A position past the end is no trouble: no template is empty.
    """
    value &= 0x7F
    shift = 7
    for at, byte in enumerate(payload[11:20], 12):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return signed(value), at
        shift += 7
    return 0, len(payload)


def _varint_ends(between: bytes) -> bool:
    """Whether the step's varint is all that stands between wall time and summary."""
    return len(between) > 1 and between[-1] < 0x80 and all(b > 0x7F for b in between[1:-1])
