"""What is remembered of a series: its last points, and its whole curve in bins.

Everything here is bounded: a ring keeps as many points as the most far-sighted detector looks
back on, a curve keeps 256 bins. Whatever is computed depends on the points and their order only,
never on how they were cut into reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from monitor.bins import MAX_BINS, Bins
from monitor.points import Curve, Floats, Ints, Points, SeriesKey, Window
from monitor.recent import Columns, Recent

EVERY_POINT_UNTIL = 32
EVERY_OTHER_UNTIL = 64
"""Curves are judged at every point, and then every other, while they are this short: an epoch may
be a point. A judgement costs more than all else that is done with a point."""
BINS_PER_JUDGEMENT = 4
HEAD_POINTS = 16
JITTER_POINTS = 8
"""Writers with threads log a few points out of order; only a step below all of the last eight
is a restart."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Points of one attempt, with the context columns joined: what the ring and curve take."""

    points: Points
    context: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.points.steps)

    def cut(self, a: int, b: int) -> Stretch:
        """Points a .. b - 1."""
        if a == 0 and b == len(self):
            return self
        return Stretch(
            slice_points(self.points, a, b),
            {role: column[a:b] for role, column in self.context.items()},
        )


def slice_points(points: Points, a: int, b: int) -> Points:
    """Points a .. b - 1 of ``points``, as views."""
    p, chosen = points, slice(a, b)
    # Not dataclasses.replace, which takes three times as long.
    return Points(
        p.key,
        p.writer,
        p.steps[chosen],
        p.wall_times[chosen],
        p.clock[chosen],
        p.values[chosen],
        p.layers,
    )


def restarts(before: Ints, steps: Ints) -> NDArray[np.intp]:
    """Positions in ``steps`` at which a new attempt begins.

    ``before``: the last steps of the attempt so far (at most eight count). A point whose step
    is lower than those of all of the eight points before it starts a new attempt.
    """
    tail = before[-JITTER_POINTS:]
    goes_on = not len(tail) or steps[0] >= tail[-1]
    if goes_on and (len(steps) == 1 or bool((steps[1:] >= steps[:-1]).all())):
        return _NOWHERE
    joined = np.concatenate((tail, steps))
    found: list[int] = []
    begin = 0
    for drop in np.flatnonzero(np.diff(joined) < 0) + 1:
        if drop < len(tail):
            continue
        recent = joined[max(begin, drop - JITTER_POINTS) : drop]
        if len(recent) and joined[drop] < recent.min():
            found.append(int(drop) - len(tail))
            begin = int(drop)
    return np.array(found, dtype=np.intp)


_NOWHERE = np.empty(0, np.intp)


def _columns(stretch: Stretch) -> Columns:
    """Of the points, and what is joined to them."""
    p = stretch.points
    return p.steps, p.wall_times, p.clock, p.values, *stretch.context.values()


class Ring:
    """The last points of one attempt, and how many there were before them."""

    def __init__(self, keep: int) -> None:
        self._rows = Recent(max(keep, JITTER_POINTS))
        self.count = 0
        self.first_step = 0

    @property
    def steps(self) -> Ints:
        """Steps of the points held."""
        rows = self._rows.rows()
        return cast("Ints", rows[0]) if rows else np.empty(0, np.int64)

    def append(self, stretch: Stretch) -> Stretch:
        """Takes new points; returns what was held with the new points after it.

        What is returned is good until the next points come.
        """
        p = stretch.points
        if not self.count:
            self.first_step = int(p.steps[0])
        self.count += len(stretch)
        steps, *rest = self._rows.append(_columns(stretch))
        self._rows.trim()
        walls, clock, values, *context = cast("list[Floats]", rest)
        joined = Points(p.key, p.writer, cast("Ints", steps), walls, clock, values, p.layers)
        return Stretch(joined, dict(zip(stretch.context, context, strict=True)))

    def window(self, joined: Stretch, new: int, lookback: int) -> Window:
        """The window for a detector, from what :meth:`append` returned."""
        n = len(joined)
        view = joined.cut(max(0, n - new - lookback + 1), n)
        p = view.points
        return Window(
            key=p.key,
            index=self.count - len(p.steps),
            new=new,
            first_step=self.first_step,
            steps=p.steps,
            wall_times=p.wall_times,
            values=p.values,
            layers=p.layers,
            context=view.context,
        )


class CurveBuilder:
    """Builds the curve of one scalar attempt, bin by bin."""

    def __init__(self, key: SeriesKey, first_step: int) -> None:
        self._key = key
        self._first_step = first_step
        self._bins: Bins | None = None
        self._rest = Recent()
        """Points whose bin is not full yet."""
        self._last = np.nan
        self._head = np.empty(0)
        self._per_bin = 1
        self.count = 0

    def append(self, stretch: Stretch) -> Iterator[tuple[int, Curve]]:
        """Takes new points; yields (position of the last point used, curve) at each judgement.

        A curve is good until the next one is asked for.
        """
        if self._bins is None:
            self._bins = Bins(stretch.context)
        at = 0
        while at < len(stretch):
            before, rhythm = self.count, self._rhythm
            take = min(self._at_once, len(stretch) - at)
            self._add(stretch.cut(at, at + take))
            at += take
            due = range(before - before % rhythm + rhythm, self.count + 1, rhythm)
            for count in due[:-1] if self._bins.full else due:
                yield count - self.count + at - 1, self._curve(count)
            if self._bins.full:
                self._bins.merge_pairs()
                self._per_bin *= 2
                yield at - 1, self._curve(self.count)

    def _curve(self, count: int) -> Curve:
        """As it was after ``count`` points."""
        assert self._bins is not None
        size = count // self._per_bin
        return self._bins.curve(self._key, self._per_bin, self._first_step, self._head, size)

    @property
    def means(self) -> Floats:
        """The curve so far, in at most 256 means: a copy."""
        return np.empty(0) if self._bins is None else self._bins.means

    @property
    def _rhythm(self) -> int:
        """The next judgement is when the number of points is a multiple of it."""
        if self.count < EVERY_POINT_UNTIL:
            return 1
        return 2 if self.count < EVERY_OTHER_UNTIL else BINS_PER_JUDGEMENT * self._per_bin

    @property
    def until_judgement(self) -> int:
        """So many more points, and the curve is judged again."""
        return self._rhythm - self.count % self._rhythm

    @property
    def _at_once(self) -> int:
        """So many more points may be added at once: up to the next merge, but one judgement after
        the other while the rhythm changes, and the head is not full.
        """
        if self.count < EVERY_OTHER_UNTIL:
            return self.until_judgement
        return MAX_BINS * self._per_bin - self.count

    def _add(self, stretch: Stretch) -> None:
        """Takes points, so that all bins are full at most."""
        assert self._bins is not None
        if self.count < HEAD_POINTS:
            values = stretch.points.values[: HEAD_POINTS - self.count]
            self._head = np.concatenate((self._head, values))
        self.count += len(stretch)
        new = _columns(stretch)
        n = len(self._rest) + len(stretch)
        if n < self._per_bin:
            self._rest.append(new)
            return
        rest, full = self._rest.rows(), n // self._per_bin * self._per_bin
        both = [np.concatenate(pair) for pair in zip(rest, new, strict=True)] if rest else new
        self._rest.clear()
        if full < n:
            self._rest.append([column[full:] for column in both])
        steps, *columns = (column[:full] for column in both)
        walls, _, values, *context = cast("list[Floats]", columns)
        joined = dict(zip(stretch.context, context, strict=True))
        ints = cast("Ints", steps)
        self._bins.add(ints, walls, values, joined, self._per_bin, self._last)
        self._last = float(values[-1])
