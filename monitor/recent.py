"""The last rows of some parallel columns, to which few or many are added at a time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Columns = tuple[NDArray[np.generic], ...]
"""Arrays of equal length."""

_LEAST_ROOM = 64


class Recent:
    """Holds all rows, until it is told to forget all but the last ``keep``.

    New rows are written behind those that are there, in memory that has room for more, so that a
    live point costs no copy of what came before it. What is handed out are views, good until the
    next rows come.
    """

    __slots__ = ("_begin", "_end", "_held", "_keep")

    def __init__(self, keep: int = sys.maxsize) -> None:
        self._keep = keep
        self._held: Columns = ()
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    def rows(self) -> Columns:
        """All that is held, oldest first; nothing at all before the first rows came."""
        begin, end = self._begin, self._end
        return tuple([column[begin:end] for column in self._held])

    def append(self, new: Sequence[NDArray[np.generic]]) -> Columns:
        """What was held with ``new`` behind it; the same columns each time."""
        count = len(new[0])
        if not self._held or self._end + count > len(self._held[0]):
            if count > self._room():
                return self._take_many(new)
            self._make_room(new)
        begin, end = self._end, self._end + count
        for column, values in zip(self._held, new, strict=True):
            column[begin:end] = values
        self._end = end
        return self.rows()

    def trim(self) -> None:
        """Forgets all but the last ``keep`` rows."""
        self._begin = max(self._begin, self._end - self._keep)

    def clear(self) -> None:
        """Forgets all rows."""
        self._begin = self._end

    def replace(self, rows: Sequence[NDArray[np.generic]]) -> None:
        """Holds ``rows`` instead of what was held."""
        self._held, self._begin, self._end = tuple([c.copy() for c in rows]), 0, len(rows[0])

    def _room(self) -> int:
        """Rows that may come before those that are kept have to be moved."""
        return max(self._keep // 2, _LEAST_ROOM)

    def _take_many(self, new: Sequence[NDArray[np.generic]]) -> Columns:
        """Of a huge read, which is not to be kept alive by the few rows that stay of it."""
        old = self.rows() or [values[:0] for values in new]
        joined = tuple([np.concatenate(both) for both in zip(old, new, strict=True)])
        self.replace([column[-self._keep :] for column in joined])
        return joined

    def _make_room(self, new: Sequence[NDArray[np.generic]]) -> None:
        """Moves what is kept to the front of memory that has room behind it."""
        kept = self.rows()
        held = len(kept[0]) if kept else 0
        # The first rows of a series may be all that ever comes of it.
        least = held + len(new[0])
        size = least + min(self._room(), max(least, _LEAST_ROOM // 4))
        if not self._held or size > len(self._held[0]):
            room = [np.empty((size, *values.shape[1:]), values.dtype) for values in new]
            self._held = tuple(room)
        for column, values in zip(self._held, kept, strict=False):
            column[:held] = values
        self._begin, self._end = 0, held
