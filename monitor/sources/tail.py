"""One growing file as bytes: knows where it is, and notices that the file was rewritten."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

_HEAD_BYTES = 256
_LAST_BYTES = 64


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The file is not the one that was read before; the tail has gone back to its beginning."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file cannot be read now; later may be different."""

    reason: str
    missing: bool = False
    """It does not exist."""


class Tail:
    """Reads a file from beginning to end, in pieces; opens it anew each time.

    No descriptor stays open: there may be more files than descriptors, and NFS shows what others
    wrote only to those who open. Whether the file is still the same is told by its content (its
    first bytes, and those right before the offset), not by its inode: a truncated file keeps
    that, and a copy kept up to date by rsync has a new one each time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        """Bytes read so far."""
        self.size = 0
        """Bytes the file had when it was last read."""
        self._head = b""
        self._last = b""

    def read(self, limit: int) -> bytes | Rewritten | Unreadable:
        """At most ``limit`` further bytes; none if there are none."""
        try:
            # Not to block on a named pipe; for regular files it makes no difference.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return self._read(descriptor, limit)
            finally:
                os.close(descriptor)
        except OSError as error:
            return Unreadable(error.strerror or str(error), isinstance(error, FileNotFoundError))

    def back_to(self, offset: int) -> None:
        """Reads again from ``offset``: bytes after it may have been written only in part."""
        if offset != self.offset:
            self.offset = offset
            self._head = self._head[:offset]
            self._last = b""

    def _read(self, descriptor: int, limit: int) -> bytes | Rewritten | Unreadable:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Unreadable("not a regular file")
        self.size = status.st_size
        overlap = len(self._last)
        data = os.pread(descriptor, overlap + limit, self.offset - overlap)
        same = self.size >= self.offset and data[:overlap] == self._last
        if not same or os.pread(descriptor, len(self._head), 0) != self._head:
            self.back_to(0)
            return Rewritten()
        new = data[overlap:]
        if new:
            if len(self._head) < _HEAD_BYTES and len(self._head) == self.offset:
                self._head += new[: _HEAD_BYTES - len(self._head)]
            self._last = data[-_LAST_BYTES:]
            self.offset += len(new)
        return new
