"""TFRecord framing, the writer's side, and what readers share. No I/O.

A record is a length (8 bytes, little-endian), the masked CRC of these 8 bytes, the payload and
the masked CRC of the payload.

The training process imports this, so nothing but the standard library is required.
"""

from __future__ import annotations

import struct

from monitor.formats.crc import masked

HEADER_BYTES = 12
FRAME_BYTES = 16
"""Header and trailer."""

LENGTH = struct.Struct("<Q")
CRC = struct.Struct("<I")


def encode(payload: bytes) -> bytes:
    """``payload`` as one record."""
    length = LENGTH.pack(len(payload))
    return b"".join((length, CRC.pack(masked(length)), payload, CRC.pack(masked(payload))))
