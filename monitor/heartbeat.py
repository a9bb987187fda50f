"""When a run was heard of: what the liveness detectors are shown."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from monitor.points import Batch, Floats, Pulse

RECENT_GAPS = 64
LAST_WORDS_SECONDS = 60.0
"""After its end a run may still say something: results of a test, or what another writer had
buffered."""


_SPENT = 0.005
"""Of its greatest, a learning rate that was still falling: a cosine is there for the last 5 % of
its course, a line for the last half percent. Stairs that go down as far stand still then."""


class Heartbeat:
    """Notes when events came, and the pauses between them.

    Pauses count within one writer only: the days between two attempts say nothing about how
    long a healthy run is silent.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._events = 0
        self._gaps: list[float] = []
        self._longest = 0.0
        self._clocks: dict[str, float] = {}
        self._pulse: Pulse | None = None
        self._rates: dict[str, tuple[float, float, bool]] = {}
        """Per learning rate its greatest value, its last one, and whether it is spent."""
        self.last_step = 0
        self.last_clock = 0.0
        """Seconds since the epoch of the latest event."""
        self.ended = False
        """A writer has said that the run is over, and none has gone on since."""
        self._ended_at = 0.0

    def hear(self, batch: Batch) -> None:
        """Takes note of what one read of one file gave."""
        steps, clock = batch.events
        heard = len(steps) > 0
        self._pulse = None
        if heard and clock[-1] > self._ended_at + LAST_WORDS_SECONDS:
            self.ended = False
        if batch.ended:
            self.ended = True
            self._ended_at = max(self.last_clock, float(clock[-1]) if heard else 0.0)
        if not heard:
            return
        if clock[-1] >= self.last_clock:
            self.last_clock = float(clock[-1])
            self.last_step = int(steps[-1])
        self._events += len(steps)
        gaps = _gaps(self._clocks.get(batch.writer, clock[0]), clock)
        self._clocks[batch.writer] = float(clock[-1])
        if gaps:
            self._longest = max(self._longest, *gaps)
            self._gaps = (self._gaps + gaps)[-RECENT_GAPS:]

    def spend(self, tag: str, rates: Floats) -> None:
        """Takes note of new values of a learning rate."""
        rates = rates[np.isfinite(rates)]
        if not len(rates):
            return
        top, before, _ = self._rates.get(tag, (0.0, np.inf, False))
        top, last = max(top, float(rates.max())), float(rates[-1])
        before = float(rates[-2]) if len(rates) > 1 else before
        self._rates[tag] = top, last, last < _SPENT * top and (last < before or last == 0)
        self._pulse = None

    def pulse(self) -> Pulse:
        """What is known now; made anew only when there was something to hear."""
        if self._pulse is None:
            self._pulse = Pulse(
                run=self._run,
                events=self._events,
                last_step=self.last_step,
                last_wall_time=self.last_clock,
                typical_gap=float(np.median(self._gaps)) if self._gaps else 0.0,
                longest_gap=self._longest,
                ended=self.ended,
                spent=bool(self._rates) and all(spent for *_, spent in self._rates.values()),
            )
        return self._pulse


def _gaps(before: float, clock: Sequence[float] | Floats) -> list[float]:
    """The pauses in seconds: the last of them, and the longest."""
    if isinstance(clock, np.ndarray):
        gaps = np.diff(clock, prepend=before)
        gaps = gaps[gaps > 0]
        longest = gaps[: -RECENT_GAPS or None].max(initial=0.0)
        recent: list[float] = gaps[-RECENT_GAPS:].tolist()
        return [float(longest), *recent] if longest > 0 and len(gaps) > RECENT_GAPS else recent
    return [b - a for a, b in itertools.pairwise((before, *clock)) if b > a]
