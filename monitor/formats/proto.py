"""The protobuf messages inside event files, field by field: Event, Summary.Value, TensorProto.

A known number with an unexpected wire type is an unknown field, as in every protobuf parser.
WireError says that the bytes are no such message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from monitor.formats import wire

_DOUBLE = struct.Struct("<d")


@dataclass(slots=True)
class EventFields:
    """An event, its summary's values not yet parsed."""

    wall_time: float = 0.0
    step: int = 0
    values: list[bytes] = field(default_factory=list)
    status: int = 0


def signed(value: int) -> int:
    """A varint as the 64-bit two's complement that it is for an ``int64`` field."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >> 63 else value


def event_fields(payload: bytes) -> EventFields:
    """An ``Event``."""
    event = EventFields()
    for number, kind, value in wire.fields(payload):
        if isinstance(value, int):
            if number == 2:
                event.step = signed(value)
        elif number == 1 and kind == wire.FIXED64:
            event.wall_time = _DOUBLE.unpack(value)[0]
        elif number == 5 and kind == wire.BYTES:
            event.values += _messages(value, 1)
        elif number == 7 and kind == wire.BYTES:
            statuses = [v for n, _, v in wire.fields(value) if n == 1 and isinstance(v, int)]
            event.status = statuses[-1] if statuses else 0
    return event


def _messages(message: bytes, wanted: int) -> list[bytes]:
    """The length-delimited fields of that number."""
    return [
        value
        for number, kind, value in wire.fields(message)
        if number == wanted and kind == wire.BYTES and isinstance(value, bytes)
    ]


_SUMMARY_KEY, _VALUE_KEY, _TAG_KEY = 0x2A, 0x0A, 0x0A
NO_SCALARS = frozenset((0x22, 0x2A, 0x32))
"""Keys of a value's fields image, histo and audio."""


def holds_no_scalar(event: bytes, at: int) -> bool:
    """Whether from ``at`` on there is one value and it is a histogram, an image or a sound.

    Only the fields' borders are looked at. False also for what is not that simple, metadata
    included: the long way is to tell.
    """
    end = len(event)
    try:
        for key in (_SUMMARY_KEY, _VALUE_KEY):
            if event[at] != key:
                return False
            size, at = wire.read_varint(event, at + 1)
            if at + size != end:
                return False
        if event[at] != _TAG_KEY:
            return False
        size, at = wire.read_varint(event, at + 1)
        at += size
        if event[at] not in NO_SCALARS:
            return False
        size, at = wire.read_varint(event, at + 1)
        return at + size == end
    except (IndexError, wire.WireError):
        return False


_HOLDERS = {
    2: wire.FIXED32,
    3: wire.BYTES,
    4: wire.BYTES,
    5: wire.BYTES,
    6: wire.BYTES,
    8: wire.BYTES,
}
"""Fields of a ``Summary.Value`` of which it holds one: simple_value, ..., tensor (8)."""


def value_fields(message: bytes) -> tuple[bytes, int, bytes, bytes]:
    """A ``Summary.Value``: tag, number of the field that holds the value, its bytes, metadata."""
    tag = body = metadata = b""
    holder = 0
    for number, kind, value in wire.fields(message):
        if isinstance(value, int):
            continue
        if number == 1 and kind == wire.BYTES:
            tag = value
        elif number == 9 and kind == wire.BYTES:
            metadata += value  # Messages given twice are merged, that is, concatenated.
        elif kind == _HOLDERS.get(number):
            holder, body = number, value
    return tag, holder, body, metadata


def plugin_data(metadata: bytes) -> tuple[bytes, bytes]:
    """Name and content of a ``SummaryMetadata``'s plugin; empty where it names none."""
    name = content = b""
    for data in _messages(metadata, 1):
        for value in _messages(data, 1):
            name = value
        for value in _messages(data, 2):
            content = value
    return name, content


_NUMBERS = {
    # DataType: (field of the TensorProto that holds numbers, struct format)
    1: (5, "<f"),
    2: (6, "<d"),
    3: (7, "<i"),
    4: (7, "<B"),
    5: (7, "<h"),
    6: (7, "<b"),
    9: (10, "<q"),
    10: (11, "<?"),
    14: (13, "<H"),  # bfloat16: the upper half of a float
    17: (7, "<H"),
    19: (13, "<e"),
    22: (16, "<I"),
    23: (17, "<Q"),
}
_BFLOAT16, _HALF = 14, 19


def tensor_number(tensor: bytes) -> tuple[float | None, bool]:
    """The number of a ``TensorProto`` of one number, None for any other tensor.

    And whether it is a float that stands in the message's last four bytes.
    """
    dtype, elements, content, last = 0, 1, b"", 0
    held: list[tuple[int, int, int | bytes]] = []
    for last, kind, value in wire.fields(tensor):
        if isinstance(value, int) and last == 1:
            dtype = value
        elif isinstance(value, bytes) and last == 2:
            elements *= _elements(value)
        elif isinstance(value, bytes) and last == 4:
            content = value
        else:
            held.append((last, kind, value))
    if elements != 1 or dtype not in _NUMBERS:
        return None, False
    holder, layout = _NUMBERS[dtype]
    if content:
        if len(content) != struct.calcsize(layout):
            return None, False
        return _unpack(dtype, layout, content), dtype == 1 and last == 4
    values = [(kind, value) for number, kind, value in held if number == holder]
    if len(values) != 1:
        return None, False
    return _listed(dtype, layout, *values[0]), dtype == 1 and last == holder


def _elements(shape: bytes) -> int:
    """How many elements a ``TensorShapeProto`` has."""
    count = 1
    for dim in _messages(shape, 2):
        sizes = [v for n, _, v in wire.fields(dim) if n == 1 and isinstance(v, int)]
        count *= sizes[-1] if sizes else 0
    return count


def _listed(dtype: int, layout: str, kind: int, value: int | bytes) -> float | None:
    """The one number of a ``float_val``, ``int_val``, ...: a field by itself, or packed."""
    if layout in ("<f", "<d"):
        fits = isinstance(value, bytes) and len(value) == struct.calcsize(layout)
        return struct.unpack(layout, value)[0] if fits else None  # type: ignore[arg-type]
    if isinstance(value, bytes):
        if kind != wire.BYTES or not value:
            return None
        value, end = wire.read_varint(packed := value, 0)
        if end != len(packed):
            return None
    if dtype in (_BFLOAT16, _HALF):
        return _unpack(dtype, layout, struct.pack("<H", value & 0xFFFF))
    return float(signed(value) if layout[1].islower() else value)


def _unpack(dtype: int, layout: str, content: bytes) -> float:
    if dtype == _BFLOAT16:
        content, layout = b"\0\0" + content, "<f"
    return float(struct.unpack(layout, content)[0])
