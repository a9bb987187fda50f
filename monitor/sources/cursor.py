"""One event file as batches of points: its tail, its record reader and its event decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from monitor.formats.bulk import Block
from monitor.formats.event import EventDecoder
from monitor.formats.glance import Glance
from monitor.formats.records import Corruption, RecordReader
from monitor.points import Batch, Quiet
from monitor.sources.tail import Medium, Rewritten, Tail, Unreadable

RETRIES = 60
"""So many passes read bad bytes at the end of a file again before they are called corrupt."""
REREAD_BYTES = 1 << 20
"""An incomplete record up to this size is dropped and read again; a longer one is kept."""

FLOWING = 3
"""After so many reads in a row that found a record the file is read without a look at it first."""
WAITS_SECONDS = 1.0
"""So long after the last read what is of no interest to any rule may wait; what people look at is
as far behind.
"""
GLANCED_BYTES = 1 << 16
"""Where more is new at once, reading it costs little of all that it costs."""
MOST_IN_VAIN = 6
"""Where glance after glance finds something of interest each comes after twice as many reads as the
one before it; after so many they become no rarer: one in 32 reads.
"""

QuietOf = Callable[[str, str, str], Quiet]
"""Of run, writer and tag."""


@dataclass(slots=True)
class Counters:
    """What was read since the start; each number only grows."""

    records: int = 0
    bytes: int = 0
    corrupt_records: int = 0
    """Places where bytes held no good record; at each one or more records were lost."""
    unusable_events: int = 0
    """Good records that held no valid event."""
    rewrites: int = 0

    def add(self, other: Counters) -> None:
        """Adds what was counted elsewhere."""
        for name in Counters.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Cursor:
    """Reads one event file as it grows.

    Whatever is not settled at the end of the file (part of a record, or bad bytes) is read
    again once the file has changed: a writer through mmap or NFS may still fill it in.
    """

    def __init__(
        self, medium: Medium, run: str, name: str, counters: Counters, generation: int = 1
    ) -> None:
        self.run = run
        self.name = name
        """Path relative to the root; the writer's name, until the file is rewritten."""
        self.generation = generation
        """1, and one more each time that the file begins anew."""
        self.problem: str | None = None
        """Why the file cannot be read, if it cannot."""
        self.active_at = 0.0
        """When it last gave something, on a monotonic clock, in seconds; the owner tells, as of:"""
        self.gone_at: float | None = None
        """Since when the file is not there any more."""
        self._tail = Tail(medium)
        self.medium = medium
        self._counters = counters
        self._signature = (0, 0, 0)
        self._seen = (0, 0, 0)
        self._begin()

    def _begin(self) -> None:
        suffix = f"#{self.generation}" if self.generation > 1 else ""
        self._reader = RecordReader()
        self._decoder = EventDecoder(self.run, self.name + suffix)
        self._records = self._unusable = 0
        self._farthest = 0
        self._retries = 0
        self._streak = 0
        self._dropped = False
        self._in_vain = self._not_for = 0
        self._forget_glances()

    def _forget_glances(self) -> None:
        self._glance: Glance | None = None
        self._glanced = 0
        self.waits = False
        """Something has been passed over that is not read yet."""

    @property
    def backlog(self) -> int:
        """Bytes known to be there and not read."""
        return 0 if self.problem else max(0, self._tail.size - self._tail.offset)

    def count_in(self, counters: Counters) -> None:
        """What is read from now on counts there."""
        self._counters = counters

    @property
    def offset(self) -> int:
        """Bytes read so far."""
        return self._tail.offset

    @property
    def written(self) -> float:
        """When the file was last written to, as of the last look: seconds since the epoch, or 0."""
        return self.medium.written(self._signature)

    def size(self) -> int:
        """Bytes that the file has now; 0 if that cannot be told."""
        try:
            return self._tail.medium.status()[0]
        except OSError:
            return 0

    def look(self) -> bool:
        """Whether there may be something to read, by the file's status."""
        if self._streak >= FLOWING:
            return True
        try:
            self._signature = self.medium.status()
        except FileNotFoundError:
            self._tail.size = self._tail.offset
            return False  # The next scan of the directories decides what that means.
        except OSError as error:
            self.problem = error.strerror
            return False
        if self._signature != self._seen:
            return True
        tail = self._tail
        return tail.size > tail.offset or self._reader.doubtful or self.problem is not None

    def can_wait(self, quiet: QuietOf, now: float) -> bool:
        """Whether what is new in the file, if anything, need not be read at ``now``, in seconds
        on a monotonic clock, since no rule would have anything to say of it.

        Only a glance: nothing of it changes what :meth:`read` is going to find. And only while
        the file gives something all the time: what is rare is read at once.
        """
        if self._streak < FLOWING or self.backlog or self._reader.doubtful or self.problem:
            return False
        if now - self.active_at >= WAITS_SECONDS:
            return False
        if self._not_for:
            self._not_for -= 1
            return False
        if self._glance is None:
            run, writer = self._decoder.run, self._decoder.writer
            self._glance = self._decoder.glance(lambda tag: quiet(run, writer, tag))
            self._glanced = self._reader.offset
        passed = self._pass_over()
        if passed is None:
            self._in_vain = min(self._in_vain + 1, MOST_IN_VAIN)
            self._not_for = (1 << self._in_vain - 1) - 1
            return False
        if not passed and not self.waits:
            return False
        self._in_vain = 0
        self._glanced += passed
        self.waits = True
        return True

    def _pass_over(self) -> int | None:
        """So many bytes behind those that wait are of no interest; None if others are there."""
        begin = self._glanced
        if self._glance is None:
            return None
        try:
            (size, *_), (data,) = self.medium.pieces([(begin, begin + GLANCED_BYTES)])
        except OSError:
            return None
        return None if size != begin + len(data) else self._glance.over(data)

    def wanted(self, limit: int) -> Sequence[tuple[int, int]]:
        """The ranges of the file that :meth:`read` is going to ask for."""
        self._go_back()
        return self._tail.wanted(limit)

    def _go_back(self) -> None:
        if self._dropped:
            self._tail.back_to(self._reader.offset)
            self._dropped = False

    def read(self, limit: int, final: bool = False) -> list[Batch]:
        """What at most ``limit`` further bytes say; nothing if they complete no record.

        ``final`` says that the file will not grow: bad bytes at its end are called corrupt.
        """
        self._go_back()
        self._forget_glances()
        data = self._tail.read(limit)
        if isinstance(data, Rewritten):
            self._counters.rewrites += 1
            self.generation += 1
            self._begin()
            data = self._tail.read(limit)
        if isinstance(data, bytes):
            self.problem, self._signature = None, self._tail.status
            batches = self._decode(data, final)
            self._streak = self._streak + 1 if batches else 0
            return batches
        self._streak = 0
        if isinstance(data, Unreadable) and not data.missing:
            self.problem = data.reason
        return []  # A file rewritten twice between two reads is read in the next pass.

    def _decode(self, data: bytes, final: bool) -> list[Batch]:
        tail, reader = self._tail, self._reader
        at_end = not data or tail.offset >= tail.size
        found = reader.feed(data, at_end and (final or self._retries >= RETRIES))
        if at_end:
            tail.size = tail.offset
            self._seen = self._signature
            self._retries = self._retries + 1 if reader.doubtful else 0
            if 0 < tail.offset - reader.offset <= REREAD_BYTES:
                reader.forget()
                self._dropped = True
        records = cast("list[bytes | Block]", found)
        if Corruption in set(map(type, found)):
            records = [item for item in found if not isinstance(item, Corruption)]
            self._counters.corrupt_records += len(found) - len(records)
        batches = self._decoder.decode_all(records)
        self._count()
        return batches

    def _count(self) -> None:
        counters, decoder = self._counters, self._decoder
        counters.records += decoder.records - self._records
        counters.unusable_events += decoder.unusable - self._unusable
        self._records, self._unusable = decoder.records, decoder.unusable
        counters.bytes += max(0, self._tail.offset - self._farthest)
        self._farthest = max(self._farthest, self._tail.offset)
