"""When a run was heard of: what the liveness detectors are shown."""

from __future__ import annotations

import numpy as np

from monitor.points import Batch, Pulse

RECENT_GAPS = 64


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
        self.last_step = 0
        self.last_clock = 0.0
        """Seconds since the epoch of the latest event."""
        self.ended = False
        """A writer has said that the run is over, and none has gone on since."""

    def hear(self, batch: Batch) -> None:
        """Takes note of what one read of one file gave."""
        steps, clock = batch.events
        heard = len(steps) > 0
        self.ended = batch.ended if heard or batch.ended else self.ended
        if not heard:
            return
        if clock[-1] >= self.last_clock:
            self.last_clock = float(clock[-1])
            self.last_step = int(steps[-1])
        self._events += len(steps)
        gaps = np.diff(clock, prepend=self._clocks.get(batch.writer, clock[0]))
        gaps = gaps[gaps > 0]
        self._clocks[batch.writer] = float(clock[-1])
        if len(gaps):
            self._longest = max(self._longest, float(gaps.max()))
            self._gaps = (self._gaps + gaps[-RECENT_GAPS:].tolist())[-RECENT_GAPS:]

    def pulse(self) -> Pulse:
        """What is known now."""
        return Pulse(
            run=self._run,
            events=self._events,
            last_step=self.last_step,
            last_wall_time=self.last_clock,
            typical_gap=float(np.median(self._gaps)) if self._gaps else 0.0,
            longest_gap=self._longest,
            ended=self.ended,
        )
