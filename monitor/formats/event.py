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
import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from monitor.formats import columns, wire
from monitor.formats.bulk import Block
from monitor.formats.columns import NONE
from monitor.formats.few import Columns, Reading, clock_of
from monitor.formats.glance import Glance, Glances
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
from monitor.formats.proto import (
    event_fields,
    holds_no_scalar,
    plugin_data,
    signed,
    tensor_number,
    value_fields,
)
from monitor.formats.stacks import Stacks
from monitor.points import Batch, Column, Events, Floats, Ints, Points, Quiet

_FLOAT = struct.Struct("<f")
_ONLY_PAYLOADS = frozenset((bytes,))
_STOP = 2
_SKIPPED_TAGS = b"_hparams_/"
_FIRST_LOOKS = 64
"""So many events of unknown shape are looked at one by one before a block is looked at again."""


class EventDecoder:
    """Decodes one file's events, in file order.

    ``run`` and ``writer`` are passed on into the batches.
    """

    def __init__(self, run: str, writer: str) -> None:
        self.run = run
        self.writer = writer
        self.records = 0
        """Payloads so far."""
        self.unusable = 0
        """Those of them that were no valid event, or held a layer record without sense."""
        self._known = Known(run)
        self._layer_decoder = LayerDecoder()
        self._stacks = Stacks(run, writer)
        self._clock = 0.0
        self._finished = False
        self._stopped = False
        self._glances = Glances()
        self._begin()

    def _begin(self) -> None:
        """Forgets the last read."""
        self._facts: dict[str, str] = {}
        self._silent: list[int] = []
        self._stop_row = -1
        self._forgot_at = -1

    def decode_all(self, records: Sequence[bytes | Block]) -> list[Batch]:
        """What the next records of the file say, payloads and blocks, in their order."""
        if _ONLY_PAYLOADS.issuperset(map(type, records)):  # As in nearly every small read.
            return [self.decode(cast("Sequence[bytes]", records))] if records else []
        batches: list[Batch] = []
        for kind, items in itertools.groupby(records, type):
            if kind is bytes:
                batches.append(self.decode([item for item in items if isinstance(item, bytes)]))
            else:
                blocks = [item for item in items if isinstance(item, Block)]
                batches.extend(self.decode_block(block) for block in blocks)
        return batches

    def glance(self, quiet: Callable[[str], Quiet]) -> Glance | None:
        """At what comes next, while series may go on as ``quiet`` says of each tag."""
        singles = self._known.singles
        return self._glances.make(singles, lambda series: quiet(series.key.tag), self.records)

    # --- few ----------------------------------------------------------------------------

    def decode(self, payloads: Sequence[bytes]) -> Batch:
        """What the next ``payloads`` of the file say; what is unusable is counted and skipped."""
        read = Reading()
        self._read(payloads, read)
        clock = clock_of(read.walls, self._clock)
        self._clock = clock[-1] if clock else self._clock
        frames: tuple[Points, ...] = ()
        if self._stacks:
            arrays = np.array(read.steps, np.int64), np.array(read.walls), np.array(clock)
            frames = tuple(self._stacks.take(*arrays))
        found = Columns(self.writer, read, clock, frames)
        steps = read.steps
        if self._silent:
            heard = sorted(set(range(len(payloads))).difference(self._silent))
            steps, clock = [steps[row] for row in heard], [clock[row] for row in heard]
        return self._finish(found, Events(steps, clock), len(payloads))

    def _read(self, payloads: Sequence[bytes], read: Reading, rows: Ints | None = None) -> None:
        """One by one; ``rows``: where the payloads stand in their read, if not one by one."""
        singles, shapes = self._known.singles, _shapes
        add_step, add_wall = read.steps.append, read.walls.append
        add_series, add_value = read.series.append, read.values.append
        for payload in payloads:
            try:
                key, wall, step_key, step, second, third, value = shapes[len(payload)](payload)
                if step < 0x80:
                    at = 11
                elif second < 0x80:
                    step, at = step - 0x80 + (second << 7), 12
                elif third < 0x80:
                    step, at = step - 0x4080 + (second << 7) + (third << 14), 13
                else:
                    step, at = _varint(payload)
                series = singles[payload[at:-4]]
            except KeyError:
                pass
            else:
                if key == 0x09 and step_key == 0x10:
                    add_step(step)
                    add_wall(wall)
                    add_series(series)
                    add_value(value)
                    continue
            self._other(payload, read, rows)
            if self._forgot_at >= 0 and rows is not None:
                return  # The rest of the block may no longer be what it was taken for.

    def _other(self, payload: bytes, read: Reading, rows: Ints | None) -> None:
        """An event without a step, of a size that is new, or without a known template."""
        position, size = len(read.steps), len(payload)
        row = position if rows is None else int(rows[position])
        series, value, silent = None, math.nan, False
        if size >= _SHORTEST and payload[0] == 0x09:
            take = _shapes.get(size) or _shape(size)
            _, wall, step_key, *_, last = take(payload)
            # A template begins with the key of a summary.
            step, at = _varint(payload) if step_key == 0x10 else (0, 9)
            series = self._known.singles.get(payload[at:-4])
            silent = series is None and holds_no_scalar(payload, at)
        if series is not None:
            value = last
        elif silent:
            self._silent.append(row)
            step, wall = 0, math.nan
        else:
            step, wall = self._long_way(payload, row, read)
        read.steps.append(step)
        read.walls.append(wall)
        read.series.append(series)
        read.values.append(value)

    # --- the long way -------------------------------------------------------------------

    def _long_way(self, payload: bytes, row: int, read: Reading) -> tuple[int, float]:
        forgotten = self._known.forgotten
        try:
            return self._event(payload, row, read)
        except wire.WireError:
            self.unusable += 1
            self._silent.append(row)
            return 0, math.nan
        finally:
            if self._known.forgotten != forgotten:
                self._forgot_at = row

    def _event(self, payload: bytes, row: int, read: Reading) -> tuple[int, float]:
        """One event, field by field: its step and wall time.

        WireError if it is none; nothing of it counts then. ``row``: where it stands in its read.
        """
        event = event_fields(payload)
        sound = True
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
        wall = event.wall_time
        if not scalars and not records:
            # Its time does not count: a file's first event says when the file was made, which may
            # be long after what a converter puts into it.
            self._silent.append(row)
            wall = math.nan
        if event.status == _STOP:
            self._stop_row = row
        position = len(read.steps)
        read.more.extend((position, series, number) for series, number in scalars)
        for record in records:
            self._record(record, row)
        if len(event.values) == 1:
            self._known.learn_single(payload, event.values[0])
        return event.step, wall

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
        numbers = self._known.templates().find(block, every, lengths)
        todo, size = np.flatnonzero(numbers == NONE), _FIRST_LOOKS
        if len(todo):
            silent = columns.silent(block, todo, fields.heads)
            steps[todo[silent]], walls[todo[silent]] = 0, math.nan
            self._silent.extend(todo[silent].tolist())
            todo = todo[~silent]
        single: list[tuple[int, Series, float]] = []
        while len(todo):
            now, todo = todo[:size], todo[size:]
            size *= 2
            self._forgot_at, known = -1, len(self._known.templates())
            read = Reading()
            self._read([block.payload(i) for i in now], read, now)
            now = now[: len(read.steps)]
            steps[now], walls[now] = read.steps, read.walls
            single.extend((int(now[row]), series, value) for row, series, value in read.scalars())
            templates = self._known.templates()
            if self._forgot_at >= 0:
                todo = every[self._forgot_at + 1 :]
            if self._forgot_at >= 0 or len(templates) > known:
                numbers[todo] = templates.find(block, todo, lengths)
                todo = todo[numbers[todo] == NONE]
        return self._gather(block, numbers, single, steps, walls)

    def _gather(
        self,
        block: Block,
        series: Ints,
        single: Sequence[tuple[int, Series, float]],
        steps: Ints,
        walls: Floats,
    ) -> Batch:
        """Rows to columns; ``series``, ``steps``, ``walls`` are [M], ``single`` is added."""
        finite = np.isfinite(walls)
        clock = walls if bool(finite.all()) else np.where(finite, walls, -np.inf)
        clock = np.maximum(np.maximum.accumulate(clock), self._clock)
        self._clock = float(clock[-1])
        rows = np.flatnonzero(series != NONE)
        numbers, values = series[rows], columns.values(block, rows)
        if single:
            rows, numbers, values = _with(single, rows, numbers, values)
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
        self, rows: Ints, numbers: Ints, values: Floats, when: tuple[Ints, Floats, Floats]
    ) -> list[Points]:
        """Values [K] of the events ``rows`` [K], by the series that they belong to."""
        series = self._known.by_number()
        # Sixteen bits are sorted by their digits, in a tenth of the time.
        few = len(series) <= np.iinfo(np.int16).max
        order = np.argsort(numbers.astype(np.int16) if few else numbers, kind="stable")
        rows, numbers, values = rows[order], numbers[order], values[order]
        steps, walls, clock = when[0][rows], when[1][rows], when[2][rows]
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
        return [
            Points(
                series[numbers[a]].key, self.writer, steps[a:b], walls[a:b], clock[a:b], values[a:b]
            )
            for a, b in itertools.pairwise(edges)
        ]

    def _finish(self, found: Sequence[Column], events: Events, read: int) -> Batch:
        """Everything gathered in this read, of ``read`` records."""
        self.records += read
        if read:
            self._stopped = self._stop_row == read - 1
        ended = self._finished or self._stopped
        batch = Batch(self.run, self.writer, found, events, self._facts, ended)
        self._known.trim()
        self._begin()
        return batch


def _with(
    single: Sequence[tuple[int, Series, float]], rows: Ints, numbers: Ints, values: Floats
) -> tuple[Ints, Ints, Floats]:
    """With single scalars put in, in the order of their rows."""
    ordered = sorted(single, key=operator.itemgetter(0))
    their_rows = np.array([row for row, _, _ in ordered], np.int64)
    at = np.searchsorted(rows, their_rows)
    return (
        np.insert(rows, at, their_rows),
        np.insert(numbers, at, [series.number for _, series, _ in ordered]),
        np.insert(values, at, [value for _, _, value in ordered]),
    )


_shapes: dict[int, Callable[[bytes], tuple[Any, ...]]] = {}
"""By size: takes a payload apart, as if it was wall time, step and one scalar."""
_SHORTEST = 18
_MAX_SHAPES = 4096


def _shape(size: int) -> Callable[[bytes], tuple[Any, ...]]:
    """Key of the wall time, wall time, key of the step, three bytes of it, and the last four."""
    if len(_shapes) >= _MAX_SHAPES:
        _shapes.clear()
    take = _shapes[size] = struct.Struct(f"<BdBBBB{size - 17}xf").unpack
    return take


def _varint(payload: bytes) -> tuple[int, int]:
    """The step, whose first byte is at 10, and where it ends.

    A position past the end is no trouble: no template is empty.
    """
    step, shift = 0, 0
    for at, byte in enumerate(payload[10:20], 11):
        step |= (byte & 0x7F) << shift
        if byte < 0x80:
            return signed(step), at
        shift += 7
    return 0, len(payload)
