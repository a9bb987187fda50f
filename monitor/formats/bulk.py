"""Many records at once: where they stand, and that all of them are intact, by numpy. No I/O.

Where they stand. A length under 64 KB is one or two bytes and at least six zero bytes, so that in
most cases one aligned word of the file is zero there. The positions right before zero words whose
twelve bytes are a length and its CRC are the beginnings of records; those that follow each other
without a gap are a chain. A link that is missing (long records) is looked up by itself.

That they are intact. A message followed by its CRC leaves the checksum's register at zero, and
zeros leave a register of zero as it is. So in a copy of the bytes each header is blanked, each
payload's first four bytes are inverted (the register's starting value) and each stored CRC is
unmasked; then the register must be zero at the end. That one sum over many records finds whatever
each record's own CRC would find if it was the only one damaged; damage in several can cancel out
with the probability with which a CRC misses damage anyway, one in 2**32. If a sum is wrong,
nothing is said, and the caller looks at the records one by one.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from monitor.formats.crc import crc32c, mask
from monitor.points import Ints

LEAST_BYTES = 1 << 14
"""Below this, some 300 records of scalars, the fixed cost of numpy's calls is more than they
save."""

_PIECE = 1 << 16
"""Bytes that are summed at a time: their copy stays in the cache, and in memory that is reused."""

_ROUNDS = 4
"""So often are headers that were missed looked for behind those that are known, all at once."""

_SHORTEST = 4
_LONGEST = 1 << 16
_HEADER, _FRAME = 12, 16
_ALL = 0xFFFF_FFFF
_DELTA = 0xA282_EAD8

Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Intact records that follow each other; ``starts`` and ``ends`` of their payloads are [M]."""

    data: bytes
    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def payload(self, i: int) -> bytes:
        """The payload of record ``i``."""
        return self.data[self.starts[i] : self.ends[i]]

    @property
    def after(self) -> int:
        """Position in ``data`` after the last record."""
        return int(self.ends[-1]) + 4


def split(data: bytes, at: int) -> Block | None:
    """The complete records from ``at`` on, up to the first without a good header.

    None if there are none, if one of them is damaged, or for a shape of record that is left to
    the caller.
    """
    if len(data) - at < _FRAME + _SHORTEST:
        return None
    begins, lengths = _chain(data, at)
    if not len(begins) or int(lengths.min()) < _SHORTEST:
        return None
    starts = begins + _HEADER
    block = Block(data, starts, starts + lengths)
    return block if _intact(block, at) else None


def _chain(data: bytes, at: int) -> tuple[Ints, Ints]:
    """Beginnings [M] and payload lengths [M] of the records that follow each other from ``at``."""
    begins, lengths = _headers(data, at)
    ends = begins + lengths + _FRAME
    for _ in range(_ROUNDS):
        gaps = ends[:-1][begins[1:] != ends[:-1]]
        gaps = gaps[gaps <= len(data) - _FRAME]
        there, their_lengths = _good(data, gaps)
        if not bool(there.any()):
            break
        begins, lengths = _merged(begins, lengths, gaps[there], their_lengths[there])
        ends = begins + lengths + _FRAME
    whole = int(np.searchsorted(ends, len(data), side="right"))  # Both ascend where it matters.
    begins, lengths, ends = begins[:whole], lengths[:whole], ends[:whole]
    if len(begins) and begins[0] == at and bool((begins[1:] == ends[:-1]).all()):
        after = int(ends[-1])
        if _length(data, after) is None:
            return begins, lengths
    return _link(data, at, begins, lengths, ends)


def _headers(data: bytes, at: int) -> tuple[Ints, Ints]:
    """Where lengths under 64 KB with a good CRC stand, with few missing; and these lengths."""
    words = np.frombuffer(data, "<u4", len(data) // 4)
    zero = np.flatnonzero(words == 0)
    zero = zero[np.searchsorted(zero, 1) :]
    before = words[zero - 1]
    last = 4 * zero - 1  # Goes to the last byte before the zeros that is not zero.
    for bits in (24, 16, 8):
        last -= before < 1 << bits
    last = last[(before != 0) & (last >= at) & (last <= len(data) - _FRAME)]
    good, lengths = _good(data, last)
    if bool(good.all()):
        return last, lengths
    # Two bytes of length: it begins one earlier.
    earlier = last[~good] - 1
    earlier = earlier[earlier >= at]
    good_too, their_lengths = _good(data, earlier)
    return _merged(last[good], lengths[good], earlier[good_too], their_lengths[good_too])


def _merged(begins: Ints, lengths: Ints, more: Ints, their_lengths: Ints) -> tuple[Ints, Ints]:
    """Headers at ``begins`` and those at ``more``, a few, in the order of the file."""
    at = np.searchsorted(begins, more)
    return np.insert(begins, at, more), np.insert(lengths, at, their_lengths)


def _good(data: bytes, begins: Ints) -> tuple[NDArray[np.bool_], Ints]:
    """At which positions a length under 64 KB and its CRC stand [K], and the lengths there [K]."""
    header = np.ndarray((len(data) - _HEADER + 1,), "V12", data, strides=(1,))[begins]
    fields = header.view("<u4").reshape(-1, 3)
    lengths = fields[:, 0].astype(np.int64)
    short = (lengths < _LONGEST) & (fields[:, 1] == 0)
    return short & (_header_crcs().take(lengths, mode="clip") == fields[:, 2]), lengths


def _link(data: bytes, at: int, begins: Ints, lengths: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The chain from ``at``, from known headers and, where none is known, from the bytes."""
    breaks = np.flatnonzero(begins[1:] != ends[:-1]).tolist()
    parts: list[Ints] = []
    part_lengths: list[Ints] = []
    i = 0
    while True:
        i = int(np.searchsorted(begins, at))
        if i < len(begins) and begins[i] == at:
            b = bisect.bisect_left(breaks, i)
            stop = breaks[b] + 1 if b < len(breaks) else len(begins)
            parts.append(begins[i:stop])
            part_lengths.append(lengths[i:stop])
            at = int(ends[stop - 1])
            continue
        length = _length(data, at)
        if length is None or at + _FRAME + length > len(data):
            break
        parts.append(np.array([at]))
        part_lengths.append(np.array([length]))
        at += _FRAME + length
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(parts), np.concatenate(part_lengths)


def _length(data: bytes, at: int) -> int | None:
    """The length in the header at ``at``; None if there is no good one."""
    header = data[at : at + _HEADER]
    if len(header) < _HEADER:
        return None
    length, stored = struct.unpack("<QI", header)
    return length if mask(crc32c(header[:8])) == stored else None


def _intact(block: Block, at: int) -> bool:
    """Whether all payloads' CRCs are right; see the module's text."""
    edges = np.searchsorted(block.starts, np.arange(at + _PIECE, block.after, _PIECE)).tolist()
    pieces = itertools.pairwise([0, *edges, len(block)])
    return all(
        _sound(Block(block.data, block.starts[a:b], block.ends[a:b])) for a, b in pieces if a < b
    )


def _sound(block: Block) -> bool:
    """The same of a piece of a block."""
    begins = block.starts - _HEADER
    at, after = int(begins[0]), block.after
    work = bytearray(4 + after - at)
    work[:4] = b"\xff" * 4
    work[4:] = memoryview(block.data)[at:after]
    # Of each record: the CRC before it, its header, its first bytes.
    seams = np.ndarray((len(work) - 19,), "V20", work, strides=(1,))
    where = begins - at
    fields = seams[where].view("<u4").reshape(-1, 5)
    fields[:, 1:4] = 0
    fields[:, 4] ^= np.uint32(_ALL)
    fields[1:, 0] = _register(fields[1:, 0])
    seams[where] = fields.view("V20")[:, 0]
    last = np.frombuffer(work, "<u4", 1, len(work) - 4)
    work[-4:] = _register(last).tobytes()
    return crc32c(bytes(work)) == _ALL


def _register(stored: Words) -> Words:
    """What the register held when a CRC was stored."""
    rotated = stored - np.uint32(_DELTA)
    register: Words = ~(rotated >> np.uint32(17) | rotated << np.uint32(15))
    return register


@cache
def _header_crcs() -> Words:
    """The masked CRC of each length under 64 KB: a CRC is affine in its message's bits."""

    def crcs(position: int) -> Words:
        messages = (bytes(position) + bytes([b]) + bytes(7 - position) for b in range(256))
        return np.array([crc32c(message) for message in messages], np.uint32)

    low, high = crcs(0), crcs(1)
    crc = (high[:, None] ^ low[None, :] ^ low[0]).ravel()
    masked: Words = (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(_DELTA)
    return masked
