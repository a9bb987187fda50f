"""One growing file as bytes: knows where it is, and notices that the file was rewritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_HEAD_BYTES = 256
_LAST_BYTES = 64

Status = tuple[int, int, int]
"""Size in bytes, and two numbers of which one changes whenever the content does."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The file is not the one that was read before; the tail has gone back to its beginning."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file cannot be read now; later may be different."""

    reason: str
    missing: bool = False
    """It does not exist."""


class Medium(Protocol):
    """Where a file lies. Both raise OSError, with a ``strerror`` for people."""

    def status(self) -> Status:
        """How the file is now."""
        ...

    def written(self, status: Status) -> float:
        """When the file was last written to, by its status: seconds since the epoch; 0: unknown."""
        ...

    def pieces(self, ranges: Sequence[tuple[int, int]]) -> tuple[Status, list[bytes]]:
        """How the file was right before it was read, and the bytes from ``begin`` up to ``end`` or
        the file's end, of each range.
        """
        ...


class LocalFile:
    """A file in the file system; opened anew each time.

    No descriptor stays open: there may be more files than descriptors, and NFS shows what others
    wrote only to those who open.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)

    def status(self) -> Status:
        status = os.stat(self._path)  # noqa: PTH116 - of thousands of files, each second
        return status.st_size, status.st_mtime_ns, status.st_ino

    def written(self, status: Status) -> float:
        return status[1] / 1e9

    def pieces(self, ranges: Sequence[tuple[int, int]]) -> tuple[Status, list[bytes]]:
        # Not to block on a named pipe; for regular files it makes no difference.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "not a regular file")
            # Not more than is there: a buffer of megabytes costs more than reading a few records.
            size = status.st_size
            return (size, status.st_mtime_ns, status.st_ino), [
                os.pread(descriptor, max(0, min(end, size) - begin), begin) for begin, end in ranges
            ]
        finally:
            os.close(descriptor)


class Tail:
    """Reads a file from beginning to end, in pieces.

    Whether the file is still the same is told by its content (its first bytes, and those right
    before the offset), not by its inode: a truncated file keeps that, and a copy kept up to date
    by rsync has a new one each time.
    """

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.offset = 0
        """Bytes read so far."""
        self.size = 0
        """Bytes the file had when it was last read."""
        self.status: Status = (0, 0, 0)
        """How it was then."""
        self._head = b""
        self._last = b""

    def read(self, limit: int) -> bytes | Rewritten | Unreadable:
        """At most ``limit`` further bytes; none if there are none."""
        overlap, head = len(self._last), len(self._head)
        try:
            self.status, found = self.medium.pieces(self.wanted(limit))
        except OSError as error:
            return Unreadable(error.strerror or str(error), isinstance(error, FileNotFoundError))
        self.size, data = self.status[0], found[0]
        same = self.size >= self.offset and data[:overlap] == self._last
        if not same or (head and found[1] != self._head):
            self.back_to(0)
            return Rewritten()
        new = data[overlap:] if overlap else data
        if new:
            if head < _HEAD_BYTES and head == self.offset:
                self._head += new[: _HEAD_BYTES - head]
            self._last = data[-_LAST_BYTES:]
            self.offset += len(new)
        return new

    def wanted(self, limit: int) -> Sequence[tuple[int, int]]:
        """The ranges that :meth:`read` will ask for."""
        new = (self.offset - len(self._last), self.offset + limit)
        return [new, (0, len(self._head))] if self._head else [new]

    def back_to(self, offset: int) -> None:
        """Reads again from ``offset``: bytes after it may have been written only in part."""
        if offset != self.offset:
            self.offset = offset
            self._head = self._head[:offset]
            self._last = b""
