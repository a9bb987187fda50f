"""What was read of a run and need not be judged yet, since no rule has anything to say of it.

Judging costs nearly the same for three points and for three hundred, so that a run that is read
thirty times a second would cost ten times as much as one that is read three times. What is kept
back are only points that cannot raise an alert, nor end one, and that complete no bin at which a
curve is judged; with the first points of which that is not sure, or after half a second,
all are judged as if they had been read together. So no alert is later for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.attempts import Attempt, Failures
from monitor.plans import Plan
from monitor.points import Batch, Column, Extent, Points, in_a_row

HOLD_SECONDS = 0.5
"""By the run's own clock: trends that people look at are as far behind."""
HOLD_READS = 64
"""If that clock stands still."""
SMALL_READ = 1000
"""Events; where there are more, judging them costs little of all that they cost."""

Attempts = Mapping[str, Mapping[str, Attempt]]
"""By tag and writer."""


class Held:
    """The columns of one run that have been kept back."""

    def __init__(self) -> None:
        self._columns: dict[tuple[str, str], list[Column]] = {}
        """By tag and writer, as are the extents."""
        self._extents: dict[tuple[str, str], Extent] = {}
        self._reads = 0
        self._judged = 0.0
        """The run's clock when it was judged last, in seconds."""

    @property
    def empty(self) -> bool:
        """Whether everything has been judged."""
        return not self._columns

    def takes(
        self,
        batch: Batch,
        columns: Sequence[Column],
        plans: Mapping[str, Plan],
        attempts: Attempts,
        failures: Failures,
    ) -> bool:
        """Keeps those ``columns`` of a batch back, if that makes no difference to any alert."""
        clock = batch.events.clock
        if not len(clock) or len(clock) > SMALL_READ or self._reads >= HOLD_READS:
            return False
        if not 0 <= clock[-1] - self._judged < HOLD_SECONDS:
            return False
        extents = dict[tuple[str, str], Extent]()
        for column in columns:
            tag = column.key.tag
            if not plans[tag].judged:
                continue
            attempt = attempts.get(tag, {}).get(column.writer)
            extent = None if attempt is None else self._extended(column)
            if attempt is None or extent is None or not attempt.is_indifferent_to(extent, failures):
                return False
            extents[tag, column.writer] = extent
        for column in columns:
            self._columns.setdefault((column.key.tag, column.writer), []).append(column)
        self._extents |= extents
        self._reads += 1
        return True

    def _extended(self, column: Column) -> Extent | None:
        """Of the column and what is held of its series."""
        extent, before = column.extent(), self._extents.get((column.key.tag, column.writer))
        if extent is None or before is None:
            return extent
        return before.and_then(extent)

    def release(self, columns: Sequence[Column], clock: float) -> list[Points]:
        """All that was held with ``columns`` after it, at the run's ``clock``."""
        held, self._columns, self._extents = self._columns, {}, {}
        self._reads, self._judged = 0, clock
        joined = [[*held.pop((c.key.tag, c.writer), ()), c] for c in columns]
        # What only others have written since comes first: a restart asks when they were heard of.
        return [in_a_row([c.points() for c in pieces]) for pieces in (*held.values(), *joined)]
