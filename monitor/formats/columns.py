"""Many events at once: wall times, steps and values of a block of records, by numpy. No I/O.

An event with one scalar is, in bytes: the wall time's key and double; the step's key and varint,
or neither for step 0; then a *template*, which says the tag and the like; and the value's four
bytes. Wherever a record begins, its template ends four bytes before the payload's end: so the
last bytes of all payloads are gathered as rows, what stands before the template is blanked by a
mask for its length, and a product with odd weights finds the template that was learned
under that hash. It counts only if it is the same, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from monitor.formats.bulk import Block
from monitor.formats.proto import NO_SCALARS
from monitor.points import Floats, Ints

WIDTHS = (32, 64, 128, 256)
"""Bytes at the end of a payload that are looked at: the least of these that holds the template.
A template that is longer than the last of them allows is left to the caller."""
NONE = -1
"""The number of no series."""

_VALUE = 4
_WALL_KEY, _STEP_KEY, _SUMMARY_KEY = 0x09, 0x10, 0x2A
_SHORTEST = 20
_LONGEST_TEMPLATE = WIDTHS[-1] - _VALUE
_SLOTS_PER_TEMPLATE = 32
_GOLDEN = 0x9E37_79B9_7F4A_7C15

U64 = NDArray[np.uint64]


_CONTINUES = np.uint64(0x0080_8080_8080_8080)
_SEVENS = [np.uint64(0x7F << 7 * i) for i in range(7)]


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """What the events of a block say if each is one scalar; all arrays are [M]."""

    walls: Floats
    steps: Ints
    heads: Ints
    """Bytes of wall time and step, which the summary follows; 0 for an event of another shape."""
    templates: Ints
    """Lengths of the templates in bytes; 0 for an event of another shape."""


def fields(block: Block) -> Fields:
    """Wall times and steps of a block's events; they count only where the head is not 0."""
    data, starts = block.data, block.starts
    raw = np.frombuffer(data, np.uint8)
    # The shortest payload has four bytes and a CRC after it: reading on is clipped, not an error.
    begin = np.minimum(starts + 1, len(data) - 16)
    pair = np.ndarray((len(data) - 15,), "V16", data, strides=(1,))[begin].view("<u8")
    pair = pair.reshape(-1, 2)
    walls = np.ascontiguousarray(pair[:, 0]).view(np.float64)
    steps, size = _varints(pair[:, 1] >> np.uint64(8))
    key = pair[:, 1].astype(np.uint8)
    stepless = key == _SUMMARY_KEY
    if bool(stepless.any()):
        steps[stepless] = 0
        size[stepless] = -1
    lengths = block.ends - starts
    heads = size + 10
    whole = (raw[starts] == _WALL_KEY) & ((key == _STEP_KEY) & (size > 0) | stepless)
    whole &= lengths >= _SHORTEST
    if not bool(whole.all()):
        heads[~whole] = 0
    templates = lengths - _VALUE - heads
    plain = whole & (templates > 0) & (templates <= _LONGEST_TEMPLATE)
    if not bool(plain.all()):
        templates[~plain] = 0
    return Fields(walls, steps, heads, templates)


def silent(block: Block, rows: Ints, heads: Ints) -> NDArray[np.bool_]:
    """Which of ``rows`` [K] hold one value, and that is a histogram, an image or a sound: [K].

    It says of many what :func:`monitor.formats.proto.holds_no_scalar` says of one; what is not so
    simple is left to that. ``heads`` are those of all the block's events: [M].
    """
    data = np.frombuffer(block.data, np.uint8)
    at, ends = block.starts[rows] + heads[rows], block.ends[rows]
    found = (heads[rows] > 0) & (at <= len(data) - 8)
    for keys, goes_to_end in _NO_SCALAR:
        word = np.ndarray((len(data) - 7,), "V8", block.data, strides=(1,))
        opening = word[np.where(found, at, 0)].view("<u8")
        length, size = _varints(opening >> np.uint64(8))
        at = at + 1 + size
        found &= keys[opening.astype(np.uint8)] & (size > 0)
        after = at + length
        found &= after == ends if goes_to_end else after <= len(data) - 8
        at = at if goes_to_end else after
    return found


def _keys(*some: int) -> NDArray[np.bool_]:
    """Which of the 256 bytes are among ``some``."""
    among = np.zeros(256, np.bool_)
    among[list(some)] = True
    return among


_NO_SCALAR = (
    (_keys(_SUMMARY_KEY), True),
    (_keys(0x0A), True),  # value
    (_keys(0x0A), False),  # tag
    (_keys(*NO_SCALARS), True),
)
"""The fields on the way to what is no scalar, and whether each goes to the event's end."""


def _varints(words: U64) -> tuple[Ints, Ints]:
    """The varints at the low ends of ``words`` [M], and their sizes in bytes; 0 if over seven."""
    ends = ~words & _CONTINUES
    stop = ends & (~ends + np.uint64(1))
    body = words & (stop - np.uint64(1))
    size = np.ones(len(words), np.int64)
    steps = body & _SEVENS[0]
    longest = int(stop.max()) if len(stop) else 0
    for i in range(1, 7):
        if longest < 0x80 << 8 * i:
            break
        size += stop >= np.uint64(0x80 << 8 * i)
        steps |= body >> np.uint64(i) & _SEVENS[i]
    if not bool(stop.all()):
        size[stop == 0] = 0
    return steps.astype(np.int64), size


class Templates:
    """Which series a template belongs to; series are numbers from 0."""

    def __init__(self) -> None:
        self._shelves: dict[int, _Shelf] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def learn(self, template: bytes, series: int) -> None:
        """A template that was not known; one that is too long is not taken."""
        if len(template) <= _LONGEST_TEMPLATE:
            width = next(w for w in WIDTHS if len(template) + _VALUE <= w)
            shelf = self._shelves.get(width)
            if shelf is None:
                shelf = self._shelves[width] = _Shelf(width)
            shelf.add(template, series)
            self._count += 1

    def find(self, block: Block, rows: Ints, lengths: Ints) -> Ints:
        """The series [K] of ``rows`` [K] of a block; NONE where the template is not known.

        ``lengths`` are the templates', in bytes, of all of the block's rows: [M].
        """
        ends, lengths = block.ends[rows], lengths[rows]
        found = np.full(len(rows), NONE, np.int64)
        least = 0
        for width in WIDTHS:
            # A row cannot begin before the data; and a length of 0 is on no shelf.
            here = (lengths > least) & (lengths <= width - _VALUE) & (ends >= width)
            least = width - _VALUE
            shelf = self._shelves.get(width)
            if shelf is not None and bool(here.any()):
                found[here] = shelf.find(block.data, ends[here], lengths[here])
        return found


class _Shelf:
    """Templates of about the same length, as rows of ``width`` bytes with blanks before them."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._weights, self._masks = _weights(width), _masks(width)
        # Row 0 stands for no template: what is blanked in every other is not blank in it.
        self._rows = np.full((1, width // 8), ~np.uint64(0))
        self._series = np.full(1, NONE, np.int64)
        self._count = 1
        self._bits = 0
        self._slots = np.zeros(1, np.int16)

    def add(self, template: bytes, series: int) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate((self._rows, self._rows))
            self._series = np.concatenate((self._series, self._series))
        blank = self._width - _VALUE - len(template)
        self._rows[self._count] = np.frombuffer(bytes(blank) + template + bytes(_VALUE), "<u8")
        self._series[self._count] = series
        self._count += 1
        if self._count * _SLOTS_PER_TEMPLATE > len(self._slots):
            self._bits = (2 * self._count * _SLOTS_PER_TEMPLATE).bit_length()
            self._slots = np.zeros(1 << self._bits, np.int16)
            self._place(1)
        else:
            self._place(self._count - 1)

    def _place(self, first: int) -> None:
        """Who comes later to a slot is not found there, and goes the caller's long way."""
        places = np.arange(first, self._count, dtype=np.int16)[::-1]
        slots = self._hash(self._rows[first : self._count])[::-1]
        free = self._slots[slots] == 0
        self._slots[slots[free]] = places[free]

    def find(self, data: bytes, ends: Ints, lengths: Ints) -> Ints:
        width = self._width
        tails = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))[ends - width]
        rows = tails.view("<u8").reshape(-1, width // 8)
        rows &= self._masks.take(lengths, axis=0)
        place = self._slots.take(self._hash(rows))
        rows ^= self._rows.take(place, axis=0)
        series: Ints = self._series.take(place)
        if rows.any():
            different = rows[:, 0].copy()
            for i in range(1, rows.shape[1]):
                different |= rows[:, i]
            series[different != 0] = NONE
        return series

    def _hash(self, rows: U64) -> Ints:
        slots: Ints = (rows @ self._weights >> np.uint64(64 - self._bits)).astype(np.int64)
        return slots


@cache
def _weights(width: int) -> U64:
    """Odd, and without a pattern: the powers of 2**64 over the golden ratio, [width / 8]."""
    return np.array([pow(_GOLDEN, i + 1, 1 << 64) for i in range(width // 8)], np.uint64)


@cache
def _masks(width: int) -> U64:
    """For each length of a template, a row that keeps it and blanks the rest."""
    longest = width - _VALUE
    length, place = np.arange(longest + 1)[:, None], np.arange(width)[None, :]
    kept = (place < longest) & (place >= longest - length)
    masks: U64 = np.where(kept, np.uint8(0xFF), np.uint8(0)).view("<u8")
    return masks


def values(block: Block, rows: Ints) -> Floats:
    """The last four bytes of the payloads of ``rows`` [K], as floats: [K]."""
    last = np.ndarray((len(block.data) - 3,), "V4", block.data, strides=(1,))
    numbers: Floats = last[block.ends[rows] - 4].view("<f4").astype(np.float64)
    return numbers
