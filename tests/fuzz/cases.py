"""One damaged file, how it is read, and whether what came out is right."""

from __future__ import annotations

import random
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from unittest.mock import patch

import numpy as np

from monitor.formats import glance
from monitor.formats.event import EventDecoder
from monitor.formats.records import Corruption, RecordReader
from monitor.points import FINITE, Batch, Quiet
from monitor.sources.cursor import Counters, Cursor
from monitor.sources.tail import LocalFile
from tests.fuzz.expect import gaps, intact
from tests.fuzz.files import Good, Ints, large, make
from tests.fuzz.mutate import Mutant, damaged, foreign, join, whole

SECONDS = 20.0
"""Of CPU; more than that for one file is a hang. A busy machine is none."""
LARGE = 0.04
"""So many files have thousands of records: enough for the reader's way with many at once."""
_LARGE_KINDS = 16
PASSES = 5
"""A second, over a file that grows."""


@dataclass(frozen=True, eq=False)
class Case:
    """A damaged file in the pieces in which it is read or grows."""

    good: Good
    mutant: Mutant
    damage: Sequence[str]
    pieces: Sequence[int]
    """Sizes; what is left over is one more."""
    cursor: bool
    """Read as a growing file by a Cursor; else from memory."""


@dataclass
class Outcome:
    """What a reader delivered."""

    batches: list[Batch] = field(default_factory=list)
    records: int = 0
    corrupt: int = 0
    offsets: list[int] | None = None
    """Where the corruptions began, if the reader says so."""
    unusable: int = 0
    in_blocks: int = 0
    """Records that came in blocks, if the reader says so."""
    glances: int = 0
    """After which nothing was read."""


def case(chance: random.Random, large_share: float = LARGE) -> Case:
    """A case by chance."""
    if chance.random() < large_share:
        good = large(chance.randrange(_LARGE_KINDS))
    else:
        good = make(chance, chance.choice((1, 2, 5, 10, 20, 40, 100)))
    mutant, damage = damaged(chance, good)
    return Case(good, mutant, damage, _pieces(chance, len(mutant)), chance.random() < 0.2)


def around(garbage: bytes) -> Case:
    """``garbage`` between good records."""
    good = make(random.Random(0), 4)
    mutant = whole(good)
    middle = int(good.bounds[2])
    damaged_one = join(mutant.cut(0, middle), foreign(garbage), mutant.cut(middle, len(mutant)))
    return Case(good, damaged_one, ["around"], [middle + len(garbage) // 2], cursor=False)


def _pieces(chance: random.Random, size: int) -> list[int]:
    """At once, in equal pieces, or in pieces of all sizes; a few thousand at most."""
    kind = chance.randrange(4)
    if kind == 0:
        return []
    least = 1 + size // 2000
    if kind == 1:
        piece = least * chance.choice((1, 7, 16, 100, 1000))
        return [piece] * (size // piece)
    sizes: list[int] = []
    most = chance.choice((6, 10, 18))
    while sum(sizes) < size and len(sizes) < 1000:
        sizes.append(least + int(2 ** (chance.random() * most)))
    return sizes


@dataclass(frozen=True)
class Verdict:
    """Of one case."""

    wrong: str | None
    """What is wrong with what was delivered, in a sentence; None if nothing is."""
    intact: int = 0
    in_blocks: int = 0
    glances: int = 0


def judge(tested: Case) -> Verdict:
    """Reads a case and compares what comes out with what is due."""
    try:
        with _limited():
            outcome = _through_cursor(tested) if tested.cursor else _through_reader(tested)
    except Exception as error:
        return Verdict(f"{type(error).__name__}: {error}")
    found = intact(tested.good, tested.mutant)
    wrong = _wrong_points(tested.good, found, outcome) or _wrong_counts(tested, found, outcome)
    return Verdict(wrong, len(found), outcome.in_blocks, outcome.glances)


def _cut(tested: Case) -> Iterator[bytes]:
    data, at = tested.mutant.data.tobytes(), 0
    for size in tested.pieces:
        yield data[at : at + size]
        at += size
    yield data[at:]


def _through_reader(tested: Case) -> Outcome:
    reader, decoder, outcome = RecordReader(), EventDecoder("run", "file"), Outcome(offsets=[])
    assert outcome.offsets is not None
    for piece, final in [*((piece, False) for piece in _cut(tested)), (b"", True)]:
        found = reader.feed(piece, final)
        good = [item for item in found if not isinstance(item, Corruption)]
        if final and good:
            raise AssertionError("good records were held back until the end was declared")
        outcome.in_blocks += sum(len(item) for item in good if not isinstance(item, bytes))
        outcome.records += sum(isinstance(item, bytes) for item in good)
        outcome.batches += decoder.decode_all(good)
        outcome.offsets += [item.offset for item in found if isinstance(item, Corruption)]
    outcome.records += outcome.in_blocks
    outcome.corrupt, outcome.unusable = len(outcome.offsets), decoder.unusable
    return outcome


def _through_cursor(tested: Case) -> Outcome:
    outcome, counters = Outcome(), Counters()
    # Small limits for small files: as if much had been written between two reads.
    limit = max(len(tested.mutant) // 50, 1 << (8 if len(tested.pieces) % 2 else 20))
    glances = len(tested.pieces) % 3 > 0
    with tempfile.TemporaryDirectory() as directory, patch.object(glance, "SETTLED", 0):
        path = Path(directory) / "events"
        cursor = Cursor(LocalFile(path), "run", "file", counters)
        with path.open("wb", buffering=0) as file:
            for number, piece in enumerate(_cut(tested)):
                file.write(piece)
                if glances and cursor.look() and cursor.can_wait(_quiet, number / PASSES):
                    outcome.glances += 1
                else:
                    _follow(cursor, limit, outcome)
                    cursor.active_at = number / PASSES
        _follow(cursor, limit, outcome, final=True)
    outcome.records, outcome.corrupt = counters.records, counters.corrupt_records
    outcome.unusable = counters.unusable_events
    return outcome


def _quiet(*_: str) -> Quiet:
    return Quiet((FINITE,), 10)


def _follow(cursor: Cursor, limit: int, outcome: Outcome, final: bool = False) -> None:
    while cursor.look():
        outcome.batches += cursor.read(limit, final)
        if not cursor.backlog:
            return


def _wrong_points(good: Good, found: list[tuple[int, int]], outcome: Outcome) -> str | None:
    """Every series against what the intact records hold, value by value, in order."""
    records = [r for _, r in found]
    due = np.concatenate(
        [np.arange(0), *(np.arange(good.first[r], good.first[r + 1]) for r in records)]
    ).astype(np.int64)
    columns: dict[str, list[Ints]] = {}
    for points in (points for batch in outcome.batches for points in batch.points):
        values = points.values
        if not ((values >= 0) & (values < len(good.tags)) & (values == np.floor(values))).all():
            return f"{points.key.tag}: a value was delivered that nobody wrote"
        mine = values.astype(np.int64)
        columns.setdefault(points.key.tag, []).append(mine)
        if not np.array_equal(points.steps, good.steps[mine]):
            return f"{points.key.tag}: a step was delivered that does not belong to its value"
        if not np.array_equal(points.wall_times, good.walls[mine]):
            return f"{points.key.tag}: a wall time was delivered that is not its value's"
    for tag, name in enumerate(good.names):
        got = np.concatenate([np.arange(0), *columns.pop(name, [])]).astype(np.int64)
        if sentence := _different(name, got, due[good.tags[due] == tag]):
            return sentence
    return f"series that nobody wrote: {sorted(columns)}" if columns else None


def _different(name: str, got: Ints, due: Ints) -> str | None:
    if np.array_equal(got, due):
        return None
    n = min(len(got), len(due))
    first = int(np.argmin(np.append(got[:n] == due[:n], False)))
    lost = np.setdiff1d(due, got)[:5].tolist()
    return (
        f"{name}: {len(got)} points instead of {len(due)}, different from the {first}. on"
        f" (lost: {lost or 'none'}; delivered there: {got[first : first + 3].tolist()},"
        f" due: {due[first : first + 3].tolist()})"
    )


def _wrong_counts(tested: Case, found: list[tuple[int, int]], outcome: Outcome) -> str | None:
    """Each stretch without a good record is one corruption; the last may still be written."""
    begins = gaps(tested.good, found, len(tested.mutant))
    end = found[-1][0] + len(tested.good.record(found[-1][1])) if found else 0
    inner = begins[:-1] if begins and begins[-1] == end else begins
    if outcome.records != len(found):
        return f"{outcome.records} records instead of {len(found)}"
    if outcome.unusable:
        return f"{outcome.unusable} intact events were called unusable"
    if outcome.offsets is not None and outcome.offsets not in (inner, begins):
        return f"corruptions at {outcome.offsets[:9]} instead of {begins[:9]}"
    if outcome.corrupt not in (len(inner), len(begins)):
        return f"{outcome.corrupt} corruptions were counted instead of {len(begins)}"
    return None


@contextmanager
def _limited() -> Iterator[None]:
    """TimeoutError after SECONDS of CPU, where signals can be had."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not read within {SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
