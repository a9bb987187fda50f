"""The protobuf wire format, as far as event files need it; no schema compiler, no dependency.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_DOUBLE = struct.Struct("<d")


class WireError(ValueError):
    """The bytes are not a protobuf message."""


_SMALL = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """``value`` (a negative one as its 64-bit two's complement) as a varint."""
    if 0 <= value < 0x80:  # nearly all are
        return _SMALL[value]
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_bytes(number: int, value: bytes) -> bytes:
    """A length-delimited field: a string, bytes or an embedded message."""
    return opening(number, len(value)) + value


def opening(number: int, length: int) -> bytes:
    """What stands before the ``length`` bytes of a length-delimited field."""
    return varint(number << 3 | BYTES) + varint(length)


def field_varint(number: int, value: int) -> bytes:
    """An integer, boolean or enum field."""
    return varint(number << 3 | VARINT) + varint(value)


def field_double(number: int, value: float) -> bytes:
    """A double field."""
    return varint(number << 3 | FIXED64) + _DOUBLE.pack(value)


def read_varint(buffer: bytes, at: int) -> tuple[int, int]:
    """The varint at ``at`` and the position after it; WireError where there is none."""
    value = shift = 0
    try:
        while True:
            byte = buffer[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
            if shift > 63:
                raise WireError("varint longer than ten bytes")
    except IndexError:
        raise WireError("message ends inside a varint") from None


def fields(buffer: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value) of each field; fixed-width values come as their bytes."""
    at, end = 0, len(buffer)
    while at < end:
        key, at = read_varint(buffer, at)
        kind = key & 7
        value: int | bytes
        if kind == VARINT:
            value, at = read_varint(buffer, at)
        else:
            if kind == BYTES:
                size, at = read_varint(buffer, at)
            elif kind == FIXED64:
                size = 8
            elif kind == FIXED32:
                size = 4
            else:
                raise WireError(f"unknown wire type {kind}")
            value = buffer[at : at + size]
            if len(value) != size:
                raise WireError("message ends inside a field")
            at += size
        yield key >> 3, kind, value
