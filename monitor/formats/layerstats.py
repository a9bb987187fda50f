"""The hook's records: layer statistics inside an ordinary event file. One file for both ends.

Every record is an ``Event`` whose summary values carry the plugin name ``training_health``,
so that TensorBoard opens the file and shows nothing of it. ``plugin_data.content`` says what a
value is:

=================  =============================================================================
``header``         ``string_val`` is JSON: the tables' rows and columns, and facts about the run
``frame:<g>``      ``tensor_content`` is float32 [rows, columns] of the table named by the tag, as
                   laid out by the header of generation ``g``
``scalar``         ``double_val`` is one number of the series named by the tag
``end``            the run is over
=================  =============================================================================

A header is written before the first frame, again whenever the layout changes, and now and then
in between, so that one lost record never silences a file.

This module imports nothing but the standard library: the training process uses it.
"""

from __future__ import annotations

import functools
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.formats import wire

PLUGIN = b"training_health"

MODULE_STATS = (
    "act_mean",
    "act_rms",
    "act_absmax",
    "act_min",
    "act_zero_fraction",
    "act_saturated_fraction",
    "act_count",
    "act_dead_fraction",
)
"""Columns of the table ``modules``: one row per module output."""

ACT_NONFINITE = "act_nonfinite"
"""1 where some element is NaN or infinite. Not written, for the greatest magnitude tells: the
reader makes the series, see :mod:`monitor.formats.stacks`."""

UPDATE_RATIO = "update_ratio"
"""``update_norm`` over ``weight_norm``; made by the reader as well."""

REPLICA_NORM = "health/replica_norm"
"""The norm of all weights before a step, as a rank other than the first has them."""

STEPS_SEEN = "health/steps_seen"
"""Steps of the process before this one, by which ranks are compared."""

COMPARED_RANKS = 64
"""So many ranks tell it at most: of a thousand, the files would cost more than they tell."""

PARAMETER_STATS = (
    "weight_norm",
    "grad_norm",
    "grad_absmax",
    "grad_nonfinite",
    "update_norm",
)
"""Columns of the table ``parameters``: one row per trainable parameter."""

_DT_FLOAT, _DT_DOUBLE, _DT_STRING = 1, 2, 7


class LayoutError(ValueError):
    """A header or frame that does not make sense."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and columns of one kind of frame; names, kinds, ... have one entry per row.

    Rows stand in the order in which the forward pass executed them.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...] = ()
    followed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What the frames of one generation mean."""

    generation: int
    tables: Mapping[str, Table]
    facts: Mapping[str, str] = field(default_factory=dict)


# --- encoding: the training process -------------------------------------------------------


def encode_header(header: Header, step: int, wall_time: float) -> bytes:
    """The payload of a record that carries ``header``."""
    return encode_header_text(header_text(header), step, wall_time)


def header_text(header: Header) -> bytes:
    """``header`` as JSON; of ten thousand layers it takes a tenth of a second."""
    document = {
        "generation": header.generation,
        "tables": {
            name: {
                "columns": table.columns,
                "names": table.names,
                "kinds": table.kinds,
                "shapes": table.shapes,
                "followed_by": table.followed_by,
            }
            for name, table in header.tables.items()
        },
        "facts": dict(header.facts),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def encode_header_text(text: bytes, step: int, wall_time: float) -> bytes:
    """The payload of a record that carries a header, given as :func:`header_text`."""
    tensor = wire.field_varint(1, _DT_STRING) + wire.field_bytes(8, text)
    return _event(step, wall_time, [_value("monitor/header", b"header", tensor)])


def encode_frame(
    step: int,
    wall_time: float,
    generation: int,
    tables: Mapping[str, tuple[int, int, bytes]],
    scalars: Mapping[str, float],
) -> bytes:
    """The payload of one step's record.

    ``tables``: name -> (rows, columns, float32 little-endian bytes); ``scalars``: tag -> number.
    """
    parts: list[bytes] = []
    for name, (rows, columns, matrix) in tables.items():
        tensor = wire.field_varint(1, _DT_FLOAT) + _shape(rows, columns)
        tensor += wire.opening(4, len(matrix))
        parts += _value_around(f"monitor/{name}", b"frame:%d" % generation, tensor, matrix)
    for tag, number in scalars.items():
        double = wire.field_bytes(6, struct.pack("<d", number))
        parts.append(_value(tag, b"scalar", wire.field_varint(1, _DT_DOUBLE) + double))
    return _event(step, wall_time, parts)


def encode_end(step: int, wall_time: float) -> bytes:
    """The payload of the record that says: this run is over."""
    tensor = wire.field_varint(1, _DT_STRING)
    return _event(step, wall_time, [_value("monitor/end", b"end", tensor)])


def _shape(*sizes: int) -> bytes:
    dims = b"".join(wire.field_bytes(2, wire.field_varint(1, size)) for size in sizes)
    return wire.field_bytes(2, dims)


def _value(tag: str, content: bytes, tensor: bytes) -> bytes:
    return b"".join(_value_around(tag, content, tensor))


def _value_around(tag: str, content: bytes, tensor: bytes, *rest: bytes) -> tuple[bytes, ...]:
    """A value whose tensor goes on with ``rest``; in parts that follow each other.

    A matrix may be large: it is copied once, into the record, and not at every level.
    """
    name, metadata = wire.field_bytes(1, tag.encode()), _metadata(content)
    size = len(tensor) + sum(map(len, rest))
    inside = name + wire.opening(8, size) + tensor
    length = len(inside) + size - len(tensor) + len(metadata)
    return wire.opening(1, length) + inside, *rest, metadata


@functools.lru_cache(maxsize=64)
def _metadata(content: bytes) -> bytes:
    plugin = wire.field_bytes(1, PLUGIN) + wire.field_bytes(2, content)
    return wire.field_bytes(9, wire.field_bytes(1, plugin))


def _event(step: int, wall_time: float, values: Sequence[bytes]) -> bytes:
    """``values``: the summary's bytes, in parts."""
    return b"".join(
        (
            wire.field_double(1, wall_time),
            wire.field_varint(2, step),
            wire.opening(5, sum(map(len, values))),
            *values,
        )
    )


# --- decoding: the daemon -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """One table at one step: ``matrix`` is float32 [rows, columns] as bytes."""

    name: str
    table: Table
    matrix: bytes


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number of one series."""

    tag: str
    value: float


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""


class LayerDecoder:
    """Turns the hook's summary values, in file order, into headers, frames and scalars.

    Holds the last header of the file: frames refer to it.
    """

    def __init__(self) -> None:
        self._header: Header | None = None

    def decode(self, tag: str, content: bytes, tensor: bytes) -> Header | Frame | Scalar | End:
        """One value (``tensor`` is its TensorProto); LayoutError or WireError if unusable."""
        if content == b"scalar":
            return Scalar(tag, _double(tensor))
        if content == b"header":
            self._header = _header(tensor)
            return self._header
        if content.startswith(b"frame:"):
            return self._frame(tag.removeprefix("monitor/"), content, tensor)
        if content == b"end":
            return End()
        raise LayoutError(f"unknown kind of layer record {content[:40]!r}")

    def _frame(self, name: str, content: bytes, tensor: bytes) -> Frame:
        header = self._header
        if header is None or content != b"frame:%d" % header.generation:
            raise LayoutError("a frame whose header was lost")
        table = header.tables.get(name)
        if table is None:
            raise LayoutError(f"a frame of the unknown table {name!r}")
        matrix = _content(tensor, 4)
        expected = 4 * len(table.names) * len(table.columns)
        if len(matrix) != expected:
            raise LayoutError(f"a frame of {len(matrix)} bytes where {expected} were announced")
        return Frame(name, table, matrix)


def _content(tensor: bytes, number: int) -> bytes:
    for found, kind, value in wire.fields(tensor):
        if found == number and kind == wire.BYTES:
            assert isinstance(value, bytes)
            return value
    raise LayoutError("a layer record without content")


def _double(tensor: bytes) -> float:
    packed = _content(tensor, 6)
    if len(packed) != 8:
        raise LayoutError("a scalar that is not one double")
    value = struct.unpack("<d", packed)[0]
    return value if isinstance(value, float) else math.nan


def _header(tensor: bytes) -> Header:
    try:
        document = json.loads(_content(tensor, 8))
        tables = {str(name): _table(value) for name, value in document["tables"].items()}
        facts = {str(key): str(value) for key, value in document["facts"].items()}
        return Header(int(document["generation"]), tables, facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LayoutError(f"unusable header: {error}") from error


def _table(document: Mapping[str, Sequence[object]]) -> Table:
    names = _strings(document["names"])
    kinds = _strings(document["kinds"])
    followed_by = _strings(document["followed_by"])
    shapes = tuple(tuple(int(n) for n in shape) for shape in document["shapes"])  # type: ignore[attr-defined]
    for column in (kinds, followed_by or names, shapes or names):
        if len(column) != len(names):
            raise LayoutError("a table whose columns differ in length")
    return Table(_strings(document["columns"]), names, kinds, shapes, followed_by)


def _strings(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
