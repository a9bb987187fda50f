"""CRC-32C, the checksum of event files: by a C wheel where there is one, else by a table.

The training process imports this, so nothing but the standard library is required.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

_MASK = 0xFFFF_FFFF
_MASK_DELTA = 0xA282_EAD8
_POLYNOMIAL = 0x82F6_3B78  # Castagnoli's, bits reversed


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_row(byte) for byte in range(256))


def portable(data: bytes) -> int:
    """The CRC-32C of ``data`` in plain Python: about 15 MB/s, enough for a hook's records."""
    table, crc = _TABLE, _MASK
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ _MASK


def _fastest() -> Callable[[bytes], int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It warns where its own C part is missing.
            import google_crc32c
    except ImportError:
        return portable
    if google_crc32c.implementation != "c":
        return portable
    value: Callable[[bytes], int] = google_crc32c.value
    return value


crc32c = _fastest()
"""``crc32c(data: bytes) -> int``: the CRC-32C of ``data``."""


def mask(crc: int) -> int:
    """A CRC as TFRecord files store it: rotated and shifted, since CRCs of CRCs are weak."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _MASK


def masked(data: bytes) -> int:
    """The masked CRC-32C of ``data``."""
    return mask(crc32c(data))
