"""What other series said at the time of a point: the learning rate, the training loss, a reward.

Series are joined by time, since each has steps of its own. Of each the last 4,096 points are kept,
and the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from monitor.points import START_PREFIX, Floats, Points
from monitor.recent import Recent

HOOK_PREFIX = "health/"
CONTEXT_POINTS = 4096


class ContextColumn:
    """The recent past of one series that others want to know of, e.g. the learning rate."""

    def __init__(self) -> None:
        self._rows = Recent(CONTEXT_POINTS)
        self._clock = np.empty(0)
        self._values = np.empty(0)
        self._first = (np.inf, np.nan)

    def append(self, points: Points) -> None:
        """Takes new points. Writers differ in their clocks, so the order is made anew."""
        if points.clock[0] < self._first[0]:
            self._begin(points)
        before = self._clock[-1] if len(self._clock) else -np.inf
        clock, values = self._rows.append((points.clock, points.values))
        if points.clock[0] < before:
            order = np.argsort(clock, kind="stable")
            clock, values = clock[order], values[order]
            self._rows.replace((clock, values))
        self._clock, self._values = cast("Floats", clock), cast("Floats", values)

    def _begin(self, points: Points) -> None:
        known = np.flatnonzero(np.isfinite(points.values))
        if len(known) and points.clock[known[0]] < self._first[0]:
            self._first = (float(points.clock[known[0]]), float(points.values[known[0]]))

    def trim(self) -> None:
        """Forgets all but the last points; called when a read has been dealt with."""
        if len(self._clock) > CONTEXT_POINTS:
            self._rows.trim()
            self._clock, self._values = cast("tuple[Floats, Floats]", self._rows.rows())

    def as_of(self, clock: Floats) -> Floats:
        """For each time, the value written last before it; NaN where there was none.

        Strictly before: a live reader, who sees record after record, could not know more.
        """
        if not len(self._clock):
            return np.full(len(clock), np.nan)
        at = np.searchsorted(self._clock, clock, side="left") - 1
        if at[0] >= 0:  # A clock never goes back, so all the others are, too.
            known: Floats = self._values[at]
            return known
        return np.where(at >= 0, self._values[np.maximum(at, 0)], np.nan)

    def start(self, clock: Floats) -> Floats:
        """For each time, the first finite value of all, NaN before it was written."""
        at, value = self._first
        return np.where(at < clock, value, np.nan)

    def told(self, clock: Floats) -> Floats:
        """For each time, when that value was written; minus infinity where there was none."""
        if not len(self._clock):
            return np.full(len(clock), -np.inf)
        at = np.searchsorted(self._clock, clock, side="left") - 1
        return np.where(at >= 0, self._clock[np.maximum(at, 0)], -np.inf)


Columns = Mapping[str, ContextColumn]
"""The series that have a role, by tag."""


def joined(roles: Mapping[str, Columns], role: str, clock: Floats) -> Floats:
    """What a role says as of each time [T]; or said first, of ``start:<role>``."""
    if role.startswith(START_PREFIX):
        return starts(roles.get(role.removeprefix(START_PREFIX), {}), clock)
    return as_of(roles.get(role, {}), clock)


def as_of(columns: Columns, clock: Floats) -> Floats:
    """What the series of one role, by tag, say as of each time: the greatest that is known.

    The hook tells the same as the script, but only at the steps that it looks at, a script perhaps
    once an epoch: those of the two count that were told last.
    """
    if not columns:  # As most roles in most runs.
        return np.full(len(clock), np.nan)
    hook = [column for tag, column in columns.items() if tag.startswith(HOOK_PREFIX)]
    script = [column for tag, column in columns.items() if not tag.startswith(HOOK_PREFIX)]
    n = len(clock)
    if not (hook and script):
        return greatest([column.as_of(clock) for column in hook or script], n)
    later = greatest([c.told(clock) for c in hook], n) > greatest(
        [c.told(clock) for c in script], n
    )
    by_hook, by_script = (greatest([c.as_of(clock) for c in some], n) for some in (hook, script))
    return np.where(later, by_hook, by_script)


def starts(columns: Columns, clock: Floats) -> Floats:
    """What the series of one role, by tag, began with: the greatest that is known at each time."""
    return greatest([column.start(clock) for column in columns.values()], len(clock))


def greatest(columns: Sequence[Floats], length: int) -> Floats:
    """Element by element the greatest known value: several optimizer groups, one rate."""
    if len(columns) == 1:
        return columns[0]
    result = np.full(length, np.nan)
    for column in columns:
        result = np.fmax(result, column)
    return result
