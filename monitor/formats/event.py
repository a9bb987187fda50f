"""TensorBoard events to points: the payloads of one file in, columns per series out. No I/O.

A scalar is a ``simple_value``, or a tensor of one number whose plugin is ``scalars``. TF2 writers
name the plugin with the first value of a tag only, so it is remembered per tag; if that record
was lost, a tensor of one number counts as a scalar. File names decide nothing. Everything else
(histograms, images, graphs, text, hparams) is skipped without a look inside.

Most events differ from an earlier one in nothing but wall time, step and their last four bytes.
So the bytes in between are looked up among templates, and only an unknown template is parsed
field by field. Few payloads are looked up one by one in a dict; a block of many all at once
(:mod:`monitor.formats.columns`).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.formats import columns, wire
from monitor.formats.bulk import Block
from monitor.formats.columns import NONE
from monitor.formats.known import Known, Series
from monitor.formats.layerstats import (
    PLUGIN,
    End,
    Frame,
    Header,
    LayerDecoder,
    LayoutError,
    Scalar,
)
from monitor.formats.proto import event_fields, plugin_data, signed, tensor_number, value_fields
from monitor.formats.stacks import Stacks
from monitor.points import Batch, Column, Events, Floats, Ints, Points, SeriesKey

_HEAD = struct.Struct("<BdBB")  # key of the wall time, wall time, key of the step, its first byte
_WALL_KEY, _STEP_KEY, _SUMMARY_KEY = 0x09, 0x10, 0x2A
_AFTER_WALL = frozenset((_STEP_KEY, _SUMMARY_KEY))
_FLOAT = struct.Struct("<f")
_STOP = 2
_SKIPPED_TAGS = b"_hparams_/"
_FIRST_LOOKS = 64
"""So many events of unknown shape are looked at one by one before a block is looked at again."""

Shorts = NDArray[np.int16]
Walls = MutableSequence[float] | Floats
Steps = MutableSequence[int] | Ints


@dataclass(slots=True, eq=False)
class _Few:
    """A column of a small read, still in lists: see :class:`monitor.points.Column`."""

    key: SeriesKey
    writer: str
    rows: list[int]
    values: list[float]
    when: tuple[Sequence[int], Sequence[float], Sequence[float]]
    """Steps, wall times and clock of all events of the read."""

    @property
    def last(self) -> float:
        return self.values[-1]

    def points(self) -> Points:
        steps, walls, clock = self.when
        return Points(
            self.key,
            self.writer,
            np.array([steps[row] for row in self.rows], np.int64),
            np.array([walls[row] for row in self.rows], np.float64),
            np.array([clock[row] for row in self.rows], np.float64),
            np.array(self.values, np.float64),
        )


class EventDecoder:
    """Decodes one file's events, in file order.

    ``run`` and ``writer`` are passed on into the batches.
    """

    def __init__(self, run: str, writer: str) -> None:
        self.run = run
        self.writer = writer
        self.unusable = 0
        """Payloads so far that were no valid event, or held a layer record without sense."""
        self._known = Known(run)
        self._layer_decoder = LayerDecoder()
        self._stacks = Stacks(run, writer)
        self._clock = 0.0
        self._finished = False
        self._stopped = False
        self._begin()

    def _begin(self) -> None:
        """Forgets the last read."""
        self._met: list[Series] = []
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
        when, writer = (steps, walls, clock), self.writer
        found: list[Column] = [_Few(s.key, writer, s.rows, s.values, when) for s in self._met]
        if self._stacks:
            arrays = np.array(steps, np.int64), np.array(walls), np.array(clock)
            found.extend(self._stacks.take(*arrays))
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
        met, singles = self._met, self._known.singles
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

    # --- the long way -------------------------------------------------------------------

    def _event(self, payload: bytes, row: int) -> tuple[int, float]:
        """One event, field by field: its step and wall time.

        WireError if it is none; nothing of it counts then.
        """
        event = event_fields(payload)
        forgotten, sound = self._known.forgotten, True
        scalars: list[tuple[Series, float]] = []
        records: list[Header | Frame | End] = []
        for value in event.values:
            series = self._known.values.get(value[:-4])
            if series is not None:
                scalars.append((series, _FLOAT.unpack_from(value, len(value) - 4)[0]))
                continue
            try:
                self._value(value, scalars, records)
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
            self._known.learn_single(payload, event.values[0])
        if self._known.forgotten != forgotten:
            self._forgot_at = row
        return event.step, event.wall_time

    def _value(
        self,
        value: bytes,
        scalars: list[tuple[Series, float]],
        records: list[Header | Frame | End],
    ) -> None:
        """One summary value; adds what it holds to ``scalars`` or ``records``."""
        known = self._known
        tag, kind, body, metadata = value_fields(value)
        plugin, content = plugin_data(metadata) if metadata else (b"", b"")
        if plugin == PLUGIN:
            record = self._layer_decoder.decode(tag.decode(errors="replace"), content, body)
            if isinstance(record, Scalar):
                scalars.append((known.called(record.tag.encode()), record.value))
            else:
                records.append(record)
            return
        if plugin:
            known.has_plugin(tag, plugin)
        if tag.startswith(_SKIPPED_TAGS):
            return
        number, at_end = None, False
        if kind == 2:
            number, at_end = _FLOAT.unpack(body)[0], True
            plain = wire.field_bytes(1, tag) + b"\x15" + body
        elif kind == 8 and known.may_be_scalar(tag):
            number, at_end = tensor_number(body)
            plain = wire.field_bytes(1, tag) + wire.field_bytes(8, body)
        if number is None:
            return
        series = known.called(tag)
        scalars.append((series, number))
        if at_end and value == plain:
            known.learn_value(value, series)

    def _record(self, record: Header | Frame | End, row: int) -> None:
        if isinstance(record, Header):
            self._facts.update(record.facts)
        elif isinstance(record, End):
            self._finished = True
        else:
            self._stacks.put(record, row)

    # --- many ---------------------------------------------------------------------------

    def decode_block(self, block: Block) -> Batch:
        """The same for a block of payloads."""
        fields = columns.fields(block)
        steps, walls, lengths = fields.steps, fields.walls, fields.templates
        every = np.arange(len(block))
        series = self._known.templates().find(block, every, lengths)
        todo, size = np.flatnonzero(series == NONE), _FIRST_LOOKS
        while len(todo):
            now, todo = todo[:size], todo[size:]
            size *= 2
            self._forgot_at, known = -1, len(self._known.templates())
            self._read([block.payload(i) for i in now], now.tolist(), steps, walls)
            templates = self._known.templates()
            if self._forgot_at >= 0:
                # What later rows were taken for no longer holds.
                todo = np.setdiff1d(every[self._forgot_at + 1 :], now, assume_unique=True)
            if self._forgot_at >= 0 or len(templates) > known:
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
            rows, numbers, values = _with_singles(self._met, rows, numbers, values)
        found: list[Column] = []
        if len(rows):
            found.extend(self._split(rows, numbers, values, (steps, walls, clock)))
        found.extend(self._stacks.take(steps, walls, clock))
        events = Events(steps, clock)
        if self._silent:
            heard = np.ones(len(block), np.bool_)
            heard[self._silent] = False
            events = Events(steps[heard], clock[heard])
        return self._finish(found, events, len(block))

    def _split(
        self, rows: Ints, numbers: Shorts, values: Floats, when: tuple[Ints, Floats, Floats]
    ) -> list[Points]:
        """Values [K] of the events ``rows`` [K], by the series that they belong to."""
        order = np.argsort(numbers, kind="stable")
        rows, numbers, values = rows[order], numbers[order], values[order]
        steps, walls, clock = when[0][rows], when[1][rows], when[2][rows]
        series = self._known.by_number()
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
        return [
            Points(
                series[numbers[a]].key, self.writer, steps[a:b], walls[a:b], clock[a:b], values[a:b]
            )
            for a, b in itertools.pairwise(edges)
        ]

    def _finish(self, found: Sequence[Column], events: Events, read: int) -> Batch:
        """Everything gathered in this read, of ``read`` records."""
        if read:
            self._stopped = self._stop_row == read - 1
        ended = self._finished or self._stopped
        batch = Batch(self.run, self.writer, tuple(found), events, self._facts, ended)
        for series in self._met:
            series.rows, series.values = [], []
        self._known.trim()
        self._begin()
        return batch


def _with_singles(
    met: Sequence[Series], rows: Ints, numbers: Shorts, values: Floats
) -> tuple[Ints, Shorts, Floats]:
    """With the values that were read one by one put in, in the order of their rows."""
    one = [
        (row, series.number, value)
        for series in met
        for row, value in zip(series.rows, series.values, strict=True)
    ]
    one.sort(key=lambda entry: entry[0])
    their_rows = np.array([entry[0] for entry in one], np.int64)
    at = np.searchsorted(rows, their_rows)
    return (
        np.insert(rows, at, their_rows),
        np.insert(numbers, at, np.array([entry[1] for entry in one], np.int16)),
        np.insert(values, at, np.array([entry[2] for entry in one], np.float64)),
    )


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
