"""A file's bytes to records: payloads and, as values, corruptions. No I/O.

Both CRCs of every record are always verified: where many bytes are pending, of all records
together (:mod:`monitor.formats.bulk`); where few are, or something is damaged, of each by itself.

After bad bytes the reader looks for the next good record: five zero bytes (a length under
16 MB), then the length's CRC, then the payload's. It starts one byte after the bad position,
because the length of a torn record reaches over good ones. The same search looks into the bytes
of a record that is not complete: if a good record is in there, the writer was cut off and went
on, and the rest will never come.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from monitor.formats import bulk
from monitor.formats.bulk import Block
from monitor.formats.crc import crc32c, mask, masked
from monitor.formats.tfrecord import CRC, FRAME_BYTES, HEADER_BYTES, LENGTH

MAX_RECORD = 64 << 20
"""Bytes; a longer record (a huge graph, a video) is passed over like a corrupt one."""
MAX_GARBAGE = 1 << 20
"""Bytes; more of them without a good record are called corrupt at once, and dropped."""

_MAX_UNFINISHED = 64
_TRIES = 4
"""So often in one read are all records taken at once although that failed before."""
_MAX_KNOWN = 4096
_HEADER = struct.Struct("<QI")
_FIVE_ZEROS = bytes(5)
_ZEROS = re.compile(rb"\0*")
_MANY_ZEROS = bytes(1 << 12)

_BAD_LENGTH = "length checksum mismatch"
_BAD_PAYLOAD = "payload checksum mismatch"
_TOO_LONG = f"record longer than {MAX_RECORD >> 20} MB"
_TORN = "torn record"

_Take = Callable[[bytes, int], tuple[Any, ...]]
_Frame = tuple[int, _Take]
"""Bytes of the whole record; takes payload, its CRC and the next header where it begins."""

_known: dict[bytes, _Frame] = {}
"""By headers already verified; a look-up is cheaper than a CRC."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """Bytes that hold no good record, from ``offset`` in the file up to the next good one."""

    offset: int
    reason: str


class RecordReader:
    """Takes a file's bytes in any pieces; the outcome does not depend on where they are cut."""

    def __init__(self) -> None:
        self._buffer = b""
        self._base = 0
        self._trouble = ""
        # What lies before the buffer was bad, is reported, and no good record came since.
        self._lost = False
        # Of the search: where to go on, and records whose ends were not there yet. In the file.
        self._resume = 0
        self._unfinished: list[int] = []

    @property
    def offset(self) -> int:
        """Up to here in the file all is settled; the next record, or bad bytes, begin here."""
        return self._base

    @property
    def doubtful(self) -> bool:
        """Whether bytes at the end of the data are bad, and might be good once read again.

        Writers through mmap or NFS show a record's bytes late, as zeros at first.
        """
        return bool(self._trouble)

    def feed(self, data: bytes, final: bool = False) -> list[bytes | Block | Corruption]:
        """The records that ``data`` completes, and corruptions where they stood.

        Records are payloads; or, of at least 16 KB, blocks.

        With ``final``, doubtful bytes at the end are called corrupt. A record that is merely
        incomplete always waits.
        """
        buffer = self._buffer + data if self._buffer else data
        found: list[bytes | Block | Corruption] = []
        at, tries = 0, _TRIES
        while True:
            if not self._lost:
                if tries and len(buffer) - at >= bulk.LEAST_BYTES:
                    block = bulk.split(buffer, at)
                    if block is None:
                        tries -= 1
                    else:
                        found.append(block)
                        at = block.after
                at, self._trouble = _chain(buffer, at, found)
            good = self._search(buffer, at) if at < len(buffer) else None
            if good is None:
                break
            if not self._lost:
                reason = _reason(buffer, at, good, self._trouble)
                found.append(Corruption(self._base + at, reason))
            at = good
            self._start_search()
        if self._trouble and (final or len(buffer) - at > MAX_GARBAGE):
            found.append(Corruption(self._base + at, self._trouble))
            self._trouble, self._lost = "", True
        if self._lost:
            at = max(at, min([self._resume, *self._unfinished]) - self._base)
        self._buffer = buffer[at:]
        self._base += at
        return found

    def forget(self) -> None:
        """Drops unsettled bytes; the caller feeds the file from ``offset`` again."""
        self._buffer = b""
        self._resume, self._unfinished = 0, []

    def _start_search(self) -> None:
        self._lost = False
        self._resume, self._unfinished = 0, []

    def _search(self, buffer: bytes, at: int) -> int | None:
        """The first good record after ``at``, looking at each position only once."""
        for begin in list(self._unfinished):
            outcome = _judge(buffer, begin - self._base)
            if outcome is True:
                return begin - self._base
            if outcome is False:
                self._unfinished.remove(begin)
        begin = max(at if self._lost else at + 1, self._resume - self._base)
        last = len(buffer) - HEADER_BYTES
        for candidate in _candidates(buffer, begin):
            if candidate > last:
                break
            outcome = _judge(buffer, candidate)
            if outcome is True:
                return candidate
            if outcome is None:
                self._unfinished = [*self._unfinished, self._base + candidate][-_MAX_UNFINISHED:]
        self._resume = self._base + max(begin, last + 1)
        return None


def _chain(buffer: bytes, at: int, found: list[bytes | Block | Corruption]) -> tuple[int, str]:
    """Appends the good records from ``at`` on; where it ended, and what is wrong there or ""."""
    known, crc, add = _known, crc32c, found.append
    last = len(buffer) - HEADER_BYTES  # Where the last whole header can begin.
    if at > last:
        return at, ""
    header = buffer[at : at + HEADER_BYTES]
    while True:
        try:
            while True:
                size, take = known[header]
                after = at + size
                if after > last:
                    return _take_last(buffer, at, after, found)
                payload, stored, header = take(buffer, at)
                # Masked: twice in a row it is rotated by one shift, and what is added comes before.
                if crc(payload) * 0x1_0000_0001 + 0x5141_756C_0000 >> 15 & 0xFFFF_FFFF != stored:
                    return at, _BAD_PAYLOAD
                add(payload)
                at = after
        except KeyError:
            trouble = _learn(header)
            if trouble:
                return at, trouble


def _take_last(
    buffer: bytes, at: int, after: int, found: list[bytes | Block | Corruption]
) -> tuple[int, str]:
    """The same of a record with no whole header behind it."""
    if after > len(buffer):
        return at, ""
    payload = buffer[at + HEADER_BYTES : after - 4]
    if masked(payload) != CRC.unpack_from(buffer, after - 4)[0]:
        return at, _BAD_PAYLOAD
    found.append(payload)
    return after, ""


def _learn(header: bytes) -> str:
    """From a whole header; what is wrong with it, or "" if it is known from now on."""
    length = _length(header)
    if length is None:
        return _BAD_LENGTH
    if length > MAX_RECORD:
        return _TOO_LONG
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    # One call that takes all out of the buffer is cheaper than slices.
    take = struct.Struct(f"<{HEADER_BYTES}x{length}sI{HEADER_BYTES}s").unpack_from
    _known[header] = FRAME_BYTES + length, take
    return ""


def _length(header: bytes) -> int | None:
    """What a whole header says, or None if its CRC is wrong."""
    length: int
    length, crc = _HEADER.unpack(header)
    return length if mask(crc32c(header[:8])) == crc else None


def _candidates(buffer: bytes, begin: int) -> Iterator[int]:
    """Positions from ``begin`` on whose eight bytes can be a length under 16 MB, in order.

    The highest byte that is not zero stands right before a run of zeros, so that each run, be
    it a megabyte long, has at most three of them; and an empty record at its very end, for the
    CRC of a zero length does not begin with a zero byte.
    """
    zeros = buffer.find(_FIVE_ZEROS, begin + 3)
    while zeros >= 0:
        stop = _after_zeros(buffer, zeros)
        yield from range(max(begin, zeros - 3), min(zeros, stop - 7))
        if stop - 8 >= zeros:
            yield stop - 8
        zeros = buffer.find(_FIVE_ZEROS, stop)


def _after_zeros(buffer: bytes, at: int) -> int:
    """Where the run of zeros ends; files that a crashed host left can have gigabytes of them."""
    while buffer.startswith(_MANY_ZEROS, at):
        at += len(_MANY_ZEROS)
    run = _ZEROS.match(buffer, at)
    return run.end() if run else at


def _judge(buffer: bytes, at: int) -> bool | None:
    """Whether a good record stands at ``at``; None if its end is not there yet."""
    body = at + HEADER_BYTES
    length = _length(buffer[at:body])
    if length is None:
        return False
    after = body + length
    if after + 4 > len(buffer):
        return None
    stored: int = CRC.unpack_from(buffer, after)[0]
    return masked(buffer[body:after]) == stored


def _reason(buffer: bytes, at: int, good: int, trouble: str) -> str:
    """Said in the same words whether or not the record's claimed end had been seen."""
    if trouble in (_BAD_LENGTH, _TOO_LONG):
        return trouble
    length: int = LENGTH.unpack_from(buffer, at)[0]
    return _TORN if good < at + FRAME_BYTES + length else _BAD_PAYLOAD
