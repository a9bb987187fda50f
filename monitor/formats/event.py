"""TensorBoard events to points: the payloads of one file in, columns per series out. No I/O.

A scalar is a ``simple_value``, or a tensor of one number whose plugin is ``scalars``. TF2 writers
name the plugin with the first value of a tag only, so it is remembered per tag; if that record
was lost, a tensor of one number counts as a scalar. File names decide nothing. Everything else
(histograms, images, graphs, text, hparams) is skipped without a look inside.

Most values differ from an earlier one in nothing but wall time, step and their last four bytes.
So the bytes in between are looked up among templates, and only an unknown template is parsed
field by field. Few payloads are looked up one by one in a dict; a block of many all at once
(:mod:`monitor.formats.columns`).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, MutableSequence, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monitor.formats import columns, wire
from monitor.formats.bulk import Block
from monitor.formats.columns import NONE, Templates
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
from monitor.points import (
    LAYER_PREFIX,
    Batch,
    Column,
    Events,
    Floats,
    Ints,
    Layers,
    Points,
    SeriesKey,
)

_HEAD = struct.Struct("<BdBB")  # key of the wall time, wall time, key of the step, its first byte
_WALL_KEY, _STEP_KEY, _SUMMARY_KEY = 0x09, 0x10, 0x2A
_AFTER_WALL = frozenset((_STEP_KEY, _SUMMARY_KEY))
_FLOAT = struct.Struct("<f")
_STOP = 2
_SKIPPED_TAGS = b"_hparams_/"
_SCALARS = b"scalars"
_MAX_TEMPLATES = 20_000
_MAX_TAGS = 20_000
_FIRST_LOOKS = 64
"""So many events of unknown shape are looked at one by one before a block is looked at again."""

Shorts = NDArray[np.int16]
Walls = MutableSequence[float] | Floats
Steps = MutableSequence[int] | Ints


@dataclass(slots=True, eq=False)
class _Series:
    """A scalar series of the file; ``rows`` says at which events of the read its values stand."""

    key: SeriesKey
    number: int
    rows: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Few:
    """A column of a small read, still in lists: see :class:`monitor.points.Column`."""

    key: SeriesKey
    writer: str
    rows: list[int]
    values: list[float]
    steps: Sequence[int]
    walls: Sequence[float]
    clock: Sequence[float]

    @property
    def last(self) -> float:
        return self.values[-1]

    def points(self) -> Points:
        return Points(
            self.key,
            self.writer,
            np.array([self.steps[row] for row in self.rows], np.int64),
            np.array([self.walls[row] for row in self.rows], np.float64),
            np.array([self.clock[row] for row in self.rows], np.float64),
            np.array(self.values, np.float64),
        )


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
        self._series: dict[bytes, _Series] = {}
        self._singles: dict[bytes, _Series] = {}
        self._values: dict[bytes, _Series] = {}
        self._templates: Templates | None = None
        """The same as ``_singles``, for blocks; None until there is one."""
        self._layer_decoder = LayerDecoder()
        self._layouts: dict[str, tuple[Table, Layers]] = {}
        self._clock = 0.0
        self._finished = False
        self._stopped = False
        self._begin()

    def _begin(self) -> None:
        """Forgets the last batch."""
        self._met: list[_Series] = []
        self._stacked: list[_Stack] = []
        self._stacks: dict[str, _Stack] = {}
        self._facts: dict[str, str] = {}
        self._silent: list[int] = []
        self._stop_row = -1
        self._forgot_at = -1

    def decode_all(self, records: Sequence[bytes | Block]) -> list[Batch]:
        """What the next records of the file say, payloads and blocks, in their order."""
        batches: list[Batch] = []
        for kind, items in itertools.groupby(records, type):
            if kind is bytes:
                batches.append(self.decode([item for item in items if isinstance(item, bytes)]))
            else:
                blocks = [item for item in items if isinstance(item, Block)]
                batches.extend(self.decode_block(block) for block in blocks)
        return batches

    # --- few ----------------------------------------------------------------------------

    def decode(self, payloads: Sequence[bytes]) -> Batch:
        """What the next ``payloads`` of the file say; what is unusable is counted and skipped."""
        n = len(payloads)
        steps, walls = [0] * n, [math.nan] * n
        self._read(payloads, range(n), steps, walls)
        clock: list[float] = []
        latest = self._clock
        for wall in walls:
            if latest < wall < math.inf:
                latest = wall
            clock.append(latest)
        self._clock = latest
        found: list[Column] = [
            _Few(s.key, self.writer, s.rows, s.values, steps, walls, clock) for s in self._met
        ]
        if self._stacked:
            arrays = np.array(steps, np.int64), np.array(walls), np.array(clock)
            found.extend(self._frames(*arrays))
        events = Events(steps, clock)
        if self._silent:
            heard = sorted(set(range(n)).difference(self._silent))
            events = Events([steps[row] for row in heard], [clock[row] for row in heard])
        return self._finish(found, events, n)

    def _read(
        self, payloads: Sequence[bytes], rows: Sequence[int], steps: Steps, walls: Walls
    ) -> None:
        """One by one; steps and wall times are put at the events' ``rows``."""
        head, number = _HEAD.unpack_from, _FLOAT.unpack_from
        met, singles = self._met, self._singles
        for payload, row in zip(payloads, rows, strict=True):
            size = len(payload)
            if size > 15:
                key, wall, step_key, step = head(payload)
                at = 11
                if step_key == _SUMMARY_KEY:
                    step, at = 0, 9
                elif step > 0x7F:
                    step, at = _varint(payload, step)
                series = singles.get(payload[at:-4])
                if series is not None and key == _WALL_KEY and step_key in _AFTER_WALL:
                    if not series.rows:
                        met.append(series)
                    series.rows.append(row)
                    series.values.append(number(payload, size - 4)[0])
                    steps[row], walls[row] = step, wall
                    continue
            try:
                steps[row], walls[row] = self._event(payload, row)
            except wire.WireError:
                self.unusable += 1
                self._silent.append(row)
                steps[row], walls[row] = 0, math.nan

    # --- many ---------------------------------------------------------------------------

    def decode_block(self, block: Block) -> Batch:
        """The same for a block of payloads."""
        templates = self._templates
        if templates is None:
            templates = self._templates = Templates()
            for template, single in self._singles.items():
                templates.learn(template, single.number)
        fields = columns.fields(block)
        steps, walls, lengths = fields.steps, fields.walls, fields.templates
        every = np.arange(len(block))
        series = templates.find(block, every, lengths)
        todo, size = np.flatnonzero(series == NONE), _FIRST_LOOKS
        while len(todo):
            now, todo = todo[:size], todo[size:]
            size *= 2
            self._forgot_at, known = -1, len(templates)
            self._read([block.payload(i) for i in now], now.tolist(), steps, walls)
            if self._forgot_at >= 0:
                # What later rows were taken for no longer holds.
                again = np.setdiff1d(every[self._forgot_at + 1 :], now, assume_unique=True)
                templates = self._templates = Templates()
                for template, single in self._singles.items():
                    templates.learn(template, single.number)
                series[again] = templates.find(block, again, lengths)
                todo = again[series[again] == NONE]
            elif len(templates) > known and len(todo):
                series[todo] = templates.find(block, todo, lengths)
                todo = todo[series[todo] == NONE]
        return self._gather(block, series, steps, walls)

    def _gather(self, block: Block, series: Ints, steps: Ints, walls: Floats) -> Batch:
        """Rows [M] to columns."""
        finite = np.isfinite(walls)
        clock = walls if bool(finite.all()) else np.where(finite, walls, -np.inf)
        clock = np.maximum(np.maximum.accumulate(clock), self._clock)
        self._clock = float(clock[-1])
        rows = np.flatnonzero(series != NONE)
        numbers, values = series[rows].astype(np.int16), columns.values(block, rows)
        if self._met:
            rows, numbers, values = self._with_singles(rows, numbers, values)
        order = np.argsort(numbers, kind="stable")
        rows, numbers = rows[order], numbers[order]
        when = steps[rows], walls[rows], clock[rows]
        values = values[order]
        found: list[Column] = []
        if len(rows):
            by_number = list(self._series.values())
            edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
            for a, b in itertools.pairwise(edges):
                key = by_number[numbers[a]].key
                of_one = (when[0][a:b], when[1][a:b], when[2][a:b], values[a:b])
                found.append(Points(key, self.writer, *of_one))
        found.extend(self._frames(steps, walls, clock))
        events = Events(steps, clock)
        if self._silent:
            heard = np.ones(len(block), np.bool_)
            heard[self._silent] = False
            events = Events(steps[heard], clock[heard])
        return self._finish(found, events, len(block))

    def _with_singles(
        self, rows: Ints, numbers: Shorts, values: Floats
    ) -> tuple[Ints, Shorts, Floats]:
        """With the values that were read one by one put in, in the order of their rows."""
        one = [
            (row, s.number, value)
            for s in self._met
            for row, value in zip(s.rows, s.values, strict=True)
        ]
        one.sort(key=lambda entry: entry[0])
        their_rows = np.array([entry[0] for entry in one], np.int64)
        at = np.searchsorted(rows, their_rows)
        return (
            np.insert(rows, at, their_rows),
            np.insert(numbers, at, np.array([entry[1] for entry in one], np.int16)),
            np.insert(values, at, np.array([entry[2] for entry in one], np.float64)),
        )

    # --- the long way -------------------------------------------------------------------

    def _event(self, payload: bytes, row: int) -> tuple[int, float]:
        """One event, field by field: its step and wall time.

        WireError if it is none; nothing of it counts then.
        """
        event = event_fields(payload)
        sound = True
        scalars: list[tuple[_Series, float]] = []
        records: list[Header | Frame | End] = []
        for value in event.values:
            series = self._values.get(value[:-4])
            if series is not None:
                scalars.append((series, _FLOAT.unpack_from(value, len(value) - 4)[0]))
                continue
            try:
                self._value(value, row, scalars, records)
            except (LayoutError, ArithmeticError, RecursionError):
                sound = False  # A header's JSON can hold infinities, and nest without end.
        self.unusable += not sound
        if not scalars and not records:
            self._silent.append(row)
        if event.status == _STOP:
            self._stop_row = row
        for series, number in scalars:
            if not series.rows:
                self._met.append(series)
            series.rows.append(row)
            series.values.append(number)
        for record in records:
            self._record(record, row)
        if len(event.values) == 1:
            self._learn_single(payload, event.values[0], row)
        return event.step, event.wall_time

    def _value(
        self,
        value: bytes,
        row: int,
        scalars: list[tuple[_Series, float]],
        records: list[Header | Frame | End],
    ) -> None:
        """One summary value; adds what it holds to ``scalars`` or ``records``."""
        tag, kind, body, metadata = value_fields(value)
        plugin, content = plugin_data(metadata) if metadata else (b"", b"")
        if plugin == PLUGIN:
            record = self._layer_decoder.decode(tag.decode(errors="replace"), content, body)
            if isinstance(record, Scalar):
                scalars.append((self._called(record.tag.encode()), record.value))
            else:
                records.append(record)
            return
        if plugin and tag not in self._plugins:
            self._remember(tag, plugin, row)
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
        series = self._called(tag)
        scalars.append((series, number))
        if at_end and value == plain:
            if len(self._values) >= _MAX_TEMPLATES:
                self._values.clear()
            self._values[value[:-4]] = series

    def _remember(self, tag: bytes, plugin: bytes, row: int) -> None:
        """The first plugin named for a tag counts; templates made without it do not."""
        if len(self._plugins) >= _MAX_TAGS:
            self._plugins.clear()
        self._plugins[tag] = plugin
        if tag in self._series and plugin != _SCALARS:
            self._forget_templates(row)

    def _forget_templates(self, row: int) -> None:
        self._singles.clear()
        self._values.clear()
        self._templates, self._forgot_at = None, row

    def _called(self, tag: bytes) -> _Series:
        series = self._series.get(tag)
        if series is None:
            key = SeriesKey(self.run, tag.decode(errors="replace"))
            series = self._series[tag] = _Series(key, len(self._series))
        return series

    def _learn_single(self, payload: bytes, value: bytes, row: int) -> None:
        """Makes a template of an event that is wall time, step and one scalar, in this order."""
        series = self._values.get(value[:-4])
        if series is None or payload[:1] != b"\x09":
            return
        rest = wire.field_bytes(5, wire.field_bytes(1, value))
        between = payload[9 : len(payload) - len(rest)]
        plain = not between or (
            between[0] == _STEP_KEY and _varint_ends(between) and len(between) <= 11
        )
        if plain and payload.endswith(rest):
            if len(self._singles) >= _MAX_TEMPLATES:
                self._forget_templates(row)
            self._singles[rest[:-4]] = series
            if self._templates is not None:
                self._templates.learn(rest[:-4], series.number)

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
                self._stacked.append(stack)
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

    def _finish(self, found: Sequence[Column], events: Events, read: int) -> Batch:
        """Everything gathered since the last batch, of ``read`` records."""
        if read:
            self._stopped = self._stop_row == read - 1
        ended = self._finished or self._stopped
        batch = Batch(self.run, self.writer, tuple(found), events, self._facts, ended)
        for series in self._met:
            series.rows, series.values = [], []
        if len(self._series) > _MAX_TAGS:
            self._series.clear()
            self._forget_templates(-1)
        self._begin()
        return batch

    def _frames(self, steps: Ints, walls: Floats, clock: Floats) -> Iterator[Points]:
        for stack in self._stacked:
            table, rows = stack.table, np.array(stack.rows, np.intp)
            shape = len(rows), len(table.names), len(table.columns)
            frames = np.frombuffer(b"".join(stack.matrices), "<f4").reshape(shape)
            for i, stat in enumerate(table.columns):
                yield Points(
                    SeriesKey(self.run, LAYER_PREFIX + stat),
                    self.writer,
                    steps[rows],
                    walls[rows],
                    clock[rows],
                    np.ascontiguousarray(frames[:, :, i], np.float64),
                    stack.layers,
                )


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
