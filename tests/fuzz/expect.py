"""Which records of a damaged file are intact: exactly those that a reader has to deliver.

A record is intact where all its bytes stand, untouched and without a gap. Besides, damage can
happen to complete one: a cut between two records of the same length may leave a good one, of
one's header and the other's body. Such a record shares its own bytes with one side of a seam,
so at each seam it is looked whether the records on both sides stand there in full.

And a record whose last byte is missing may be completed by the first byte of the next one, if
that happens to be the same. Both stand there in full then, one in the other's bytes; whoever
reads on from the end of the first cannot have the second, and is not asked to.
"""

from __future__ import annotations

import numpy as np

from tests.fuzz.files import Good, Ints
from tests.fuzz.mutate import Mutant


def intact(good: Good, mutant: Mutant) -> list[tuple[int, int]]:
    """(position, record) of every intact record, in the order of the file."""
    origin, size = mutant.origin, len(mutant)
    if not size:
        return []
    known = origin >= 0
    joined = known[:-1] & (origin[1:] == origin[:-1] + 1)
    seams = np.flatnonzero(~joined) + 1
    records = np.searchsorted(good.bounds, origin, side="right") - 1
    begins = np.flatnonzero(known & (good.bounds[records] == origin))
    ends = begins + _lengths(good, records[begins])
    following = np.append(seams, size)[np.searchsorted(seams, begins, side="right")]
    unbroken = begins[following >= ends]
    found = dict(zip(unbroken.tolist(), records[unbroken].tolist(), strict=True))
    data = mutant.data.tobytes()
    for seam in seams.tolist():
        for at in (seam - 1, seam):
            if known[at]:
                r = int(records[at])
                begin = at - int(origin[at] - good.bounds[r])
                if begin >= 0 and begin not in found and data.startswith(good.record(r), begin):
                    found[begin] = r
    return _apart(good, sorted(found.items()))


def _apart(good: Good, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without those that begin before the one before them has ended."""
    kept, end = list[tuple[int, int]](), 0
    for begin, r in found:
        if begin >= end:
            kept.append((begin, r))
            end = begin + len(good.record(r))
    return kept


def gaps(good: Good, found: list[tuple[int, int]], size: int) -> list[int]:
    """Where bytes begin that hold no intact record; the last may be the end of the file."""
    begins, at = [], 0
    for begin, r in found:
        if begin > at:
            begins.append(at)
        at = begin + len(good.record(r))
    return [*begins, at] if at < size else begins


def _lengths(good: Good, records: Ints) -> Ints:
    lengths: Ints = good.bounds[records + 1] - good.bounds[records]
    return lengths
