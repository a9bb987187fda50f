"""A small read, as lists: most series are logged and never judged, so arrays are made late."""

from __future__ import annotations

import heapq
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np

from monitor.formats.known import Series
from monitor.points import Column, Points, SeriesKey


class Reading:
    """What was read one by one: lists with one entry per event, in file order."""

    __slots__ = ("more", "series", "steps", "values", "walls")

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.walls: list[float] = []
        self.series: list[Series | None] = []
        """Of an event that is one scalar and nothing else; None for any other."""
        self.values: list[float] = []
        self.more: list[tuple[int, Series, float]] = []
        """The scalars of other events: position of the event, series, value."""

    def scalars(self) -> Iterator[tuple[int, Series, float]]:
        """All of them, in the order of the events: position, series, value."""
        single = (
            (row, series, value)
            for row, (series, value) in enumerate(zip(self.series, self.values, strict=True))
            if series is not None
        )
        return heapq.merge(single, self.more, key=operator.itemgetter(0)) if self.more else single


@dataclass(slots=True, eq=False)
class _Few:
    """A column of a small read, still in lists: see :class:`monitor.points.Column`."""

    key: SeriesKey
    writer: str
    read: Reading
    clock: Sequence[float]
    rows: list[int] = field(default_factory=list)
    """Positions of its events in the read."""
    values: list[float] = field(default_factory=list)

    @property
    def last(self) -> float:
        return self.values[-1]

    def points(self) -> Points:
        steps, walls, clock = self.read.steps, self.read.walls, self.clock
        return Points(
            self.key,
            self.writer,
            np.array([steps[row] for row in self.rows], np.int64),
            np.array([walls[row] for row in self.rows], np.float64),
            np.array([clock[row] for row in self.rows], np.float64),
            np.array(self.values, np.float64),
        )


class Columns(Sequence[Column]):
    """The columns of a small read, made when they are looked at."""

    def __init__(
        self, writer: str, read: Reading, clock: Sequence[float], frames: Sequence[Column]
    ) -> None:
        self._writer = writer
        self._read = read
        self._clock = clock
        self._frames = frames

    @cached_property
    def _all(self) -> list[Column]:
        found: list[Column] = []
        # What adds a row, and a value, to a series' column: methods that are looked up once.
        adds: dict[Series, tuple[Callable[[int], None], Callable[[float], None]]] = {}
        for row, series, value in self._read.scalars():
            add = adds.get(series)
            if add is None:
                column = _Few(series.key, self._writer, self._read, self._clock)
                found.append(column)
                add = adds[series] = column.rows.append, column.values.append
            add[0](row)
            add[1](value)
        return [*found, *self._frames]

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, at: int) -> Column: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Column]: ...
    def __getitem__(self, at: int | slice) -> Column | Sequence[Column]:
        return self._all[at]

    def __iter__(self) -> Iterator[Column]:
        return iter(self._all)


def clock_of(walls: list[float], latest: float) -> list[float]:
    """The greatest finite wall time up to each event, which is ``latest`` before the first."""
    if walls and latest <= walls[0] and math.isfinite(sum(walls)) and walls == sorted(walls):
        return walls  # As nearly always.
    clock: list[float] = []
    for wall in walls:
        if latest < wall < math.inf:
            latest = wall
        clock.append(latest)
    return clock
