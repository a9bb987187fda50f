"""A glance at bytes that are not read yet: whether any of them can be of interest now.

Reading costs about as much for three events as for a hundred: checksums, columns, verdicts. Most
of what a healthy run writes says nothing that an alert is made of. That is seen at a fraction of
the cost, by one regular expression over the bytes: records whose templates (see
:mod:`monitor.formats.event`) are known and whose values lie where no rule has anything to say.
Whatever else stands there, a NaN or an unknown tag, is to be read at once. No checksum is looked
at: what is passed over here is read all the same, and checked then.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TypeVar

import numpy as np

from monitor.formats.tfrecord import FRAME_BYTES, HEADER_BYTES
from monitor.points import WHATEVER, Floats, Quiet, Range

MAX_TEMPLATES, MAX_BYTES = 500, 1 << 16
MAX_COUNTED = 32
"""Templates whose points are counted, one after the other, because their curves are judged."""
_DEEPEST = 20
"""So many levels has a tree of literals; parsers of expressions recurse."""
SETTLED = 50
"""Times as many records as there are templates are read before there is another expression."""
T = TypeVar("T")

_Ranges = tuple[tuple[bytes, tuple[Range, ...]], ...]
"""Templates, and in which ranges the values of each are of no interest."""
_LENGTH = struct.Struct("<Q").unpack_from

_ANYTHING, _NEVER = b".{4}", b"(?!)"
_RECORD = rb"(?s:(?:.{%d}\x09.{8}(?:\x10[\x80-\xff]*[\x00-\x7f])?(?:%b).{4})*)"
"""Header, wall time, step, the alternatives from the summary's key on, and the payload's CRC."""


class Glances:
    """Makes glances at one file, and another expression so seldom that it costs less than reading:
    while tags are new, each read knows more of them.
    """

    def __init__(self) -> None:
        self._ranges: _Ranges = ()
        self._from = 0

    def make(
        self, templates: Mapping[bytes, T], quiet: Callable[[T], Quiet], records: int
    ) -> Glance | None:
        """At what comes after so many ``records``, while series, which have these ``templates``,
        may go on as ``quiet`` says of each.

        None where it would cost more than it saves.
        """
        if not 0 < len(templates) <= MAX_TEMPLATES or sum(map(len, templates)) > MAX_BYTES:
            return None
        series = {template: quiet(which) for template, which in templates.items()}
        ranges = tuple((t, how.ranges) for t, how in series.items() if how.ranges)
        if ranges != self._ranges:
            if records < self._from:
                return None
            self._ranges, self._from = ranges, records + SETTLED * len(templates)
        left = {t: how.points for t, how in series.items() if how.points < sys.maxsize}
        return Glance(_pattern(ranges), left) if len(left) <= MAX_COUNTED else None


class Glance:
    """Made for the present state of a run's rules, and of no use when they have been shown more.

    ``left``: templates of series whose curves are judged, and after how many more points.
    """

    def __init__(self, pattern: re.Pattern[bytes], left: dict[bytes, int]) -> None:
        self._pattern = pattern
        self._left = left

    def over(self, data: bytes) -> int | None:
        """So many of the bytes are whole records that are of no interest.

        What may follow them is no whole record. None if there is anything of interest, or bytes
        that make no sense. Each call goes on where the one before has ended.
        """
        matched = self._pattern.match(data)
        end = matched.end() if matched else 0
        if len(data) - end >= HEADER_BYTES and end + _size(data, end) <= len(data):
            return None
        for template in self._left:
            self._left[template] -= data.count(template, 0, end)
        return end if min(self._left.values(), default=1) > 0 else None


def _size(data: bytes, at: int) -> int:
    """Of the record whose header stands there, as it says itself."""
    length: int = _LENGTH(data, at)[0]
    return FRAME_BYTES + length


@lru_cache(maxsize=1024)  # A thousand runs log the same tags.
def _pattern(series: _Ranges) -> re.Pattern[bytes]:
    """Matches records of these templates with values in these ranges, as many as there are."""
    alternatives = [(template, _float(ranges)) for template, ranges in series]
    which = _tree(sorted(alternatives)) if alternatives else _NEVER
    return re.compile(_RECORD % (HEADER_BYTES, which))


def _tree(alternatives: Sequence[tuple[bytes, bytes]], level: int = 0) -> bytes:
    """One of some literals, sorted, each with what follows it: three hundred tags that begin
    alike are not tried one after the other.
    """
    if len(alternatives) == 1 or level == _DEEPEST:
        return b"|".join(re.escape(literal) + after for literal, after in alternatives)
    first, last = alternatives[0][0], alternatives[-1][0]
    common = 0
    while common < min(len(first), len(last)) and first[common] == last[common]:
        common += 1
    branches = dict[bytes, list[tuple[bytes, bytes]]]()
    for literal, after in alternatives:
        branches.setdefault(literal[common : common + 1], []).append((literal[common:], after))
    which = b"|".join(_tree(branch, level + 1) for branch in branches.values())
    return re.escape(first[:common]) + b"(?:%b)" % which


@lru_cache(maxsize=1024)
def _float(ranges: tuple[Range, ...]) -> bytes:
    """Matches the four bytes of a float that is surely in one of the ranges.

    The upper two bytes decide, a seventh significant bit; the border itself may be missed, not
    what lies beyond it.
    """
    if ranges == WHATEVER.ranges:
        return _ANYTHING
    low, high = _spans()
    inside = np.zeros(low.shape, np.bool_)
    for least, greatest in ranges:
        inside[(low >= least) & (high <= greatest)] = True
    # By the last byte: few of them go with some only of the bytes before it.
    rows: list[list[bool]] = inside.tolist()
    choices = [
        b"..%b\\x%02x" % (_class(row), last)
        for last, row in enumerate(rows)
        if any(row) and not all(row)
    ]
    whole = [all(row) for row in rows]
    choices += [b"...%b" % _class(whole)] if any(whole) else []
    return b"(?:%b)" % b"|".join(choices) if choices else _NEVER


def _class(among: Sequence[bool]) -> bytes:
    """Matches the bytes at the True entries of ``among`` [256]."""
    edges = np.flatnonzero(np.diff(np.array(among, np.int8), prepend=0, append=0)).tolist()
    spans = zip(edges[::2], edges[1::2], strict=True)
    return b"[%b]" % b"".join(rb"\x%02x-\x%02x" % (first, after - 1) for first, after in spans)


@cache
def _spans() -> tuple[Floats, Floats]:
    """Least and greatest float by its last byte and the one before it: [256, 256]."""
    upper = np.arange(1 << 16, dtype=np.uint32).reshape(256, 256) << np.uint32(16)
    one, other = upper.view("<f4"), (upper | np.uint32(0xFFFF)).view("<f4")
    # Of a span with a NaN both ends are NaN, and it is in no range.
    return np.minimum(one, other, dtype=np.float64), np.maximum(one, other, dtype=np.float64)
