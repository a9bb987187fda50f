"""What a run looked like: all its series in buckets, read from its files and kept up to date."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.history.buckets import Buckets, Thinned
from monitor.points import LAYER_PREFIX, Batch, Points
from monitor.ranks import Ranks
from monitor.series import JITTER_POINTS, restarts, slice_points
from monitor.sources.logdir import LogDirs
from monitor.sources.scan import Root

READ_BYTES = 4 << 20
SCALAR_BUCKETS, LAYER_BUCKETS = 4096, 512
MOST_SCALARS = 1000
"""Further tags of a run are left out."""
MOST_LAYERS = 160
"""Further layers of a statistic are left out."""
MOST_ATTEMPTS = 8
RESCAN_SECONDS = 10.0


class UnknownRun(ValueError):  # noqa: N818 - reads as what it says
    """No run is called so."""


@dataclass(slots=True)
class Attempt:
    """One attempt at a series."""

    writer: str
    buckets: Buckets
    names: tuple[str, ...] = ()
    """Of all layers; empty for a scalar."""
    last_steps: tuple[int, ...] = ()

    def append(self, points: Points) -> None:
        """Points of this very attempt."""
        values = points.values.reshape(len(points.steps), -1)[:, :MOST_LAYERS]
        self.buckets.append(points.steps, values)
        recent = [*self.last_steps, *points.steps[-JITTER_POINTS:].tolist()]
        self.last_steps = tuple(recent[-JITTER_POINTS:])


class RunHistory:
    """One run; not for several threads at once."""

    def __init__(self, logdirs: Sequence[Root], run: str) -> None:
        """UnknownRun where there is none of that name."""
        self._logdirs = tuple(logdirs)
        self._run = run
        self._attempts: dict[str, list[Attempt]] = {}
        self._points: Counter[str] = Counter()
        self._begin(self._files())

    def _files(self) -> LogDirs:
        dirs = LogDirs(self._logdirs)
        dirs.rescan()
        if self._run not in dirs.runs:
            raise UnknownRun(self._run)
        self._looked = time.monotonic()
        return dirs.split([[self._run]])[0]

    def _begin(self, dirs: LogDirs) -> None:
        self._dirs = dirs
        self._ranks = Ranks()
        self._attempts.clear()
        self._points.clear()

    def refresh(self, seconds: float = math.inf) -> bool:
        """Reads what is new, for about so long; whether it was all that was there.

        Everything is read again where files have come or gone.
        """
        begin = time.monotonic()
        if time.monotonic() - self._looked >= RESCAN_SECONDS:
            found = self._files()
            if found.sizes().keys() != self._dirs.sizes().keys():
                self._begin(found)
        there = self._dirs.sizes()
        while batches := self._dirs.read(READ_BYTES):
            for batch in batches:
                self._take(self._ranks.join(batch))
            if not self._dirs.more and self._dirs.reached(there):
                break  # A run that is written all the time must not keep us here.
            if time.monotonic() - begin > seconds:
                return False
        return True

    def tags(self) -> list[str]:
        """All scalar series, in the order in which they appeared."""
        return [tag for tag in self._attempts if not tag.startswith(LAYER_PREFIX)]

    def scalar(self, tag: str, most: int) -> tuple[int, list[Thinned]]:
        """How many points a tag has, and its last attempts in at most ``most`` buckets each."""
        attempts = self._attempts.get(tag, [])
        return self._points[tag], [attempt.buckets.thinned(most) for attempt in attempts]

    def layers(self, stat: str, most: int) -> tuple[tuple[str, ...], Thinned] | None:
        """The names of all layers, and the latest attempt of the first of them; None if unknown."""
        attempts = self._attempts.get(LAYER_PREFIX + stat)
        if not attempts:
            return None
        return attempts[-1].names, attempts[-1].buckets.thinned(most)

    def _take(self, batch: Batch) -> None:
        for column in batch.columns:
            tag = column.key.tag
            if tag not in self._attempts and len(self._attempts) >= MOST_SCALARS:
                continue
            points = column.points()
            self._points[tag] += len(points.steps)
            begin = 0
            attempt = self._attempt(points)
            for cut in restarts(np.array(attempt.last_steps, np.int64), points.steps).tolist():
                if cut > begin:
                    attempt.append(slice_points(points, begin, cut))
                attempt = self._new(points)
                begin = cut
            attempt.append(slice_points(points, begin, len(points.steps)))

    def _attempt(self, points: Points) -> Attempt:
        """The one that these points go on with, as the engine has it; a new one for want of any."""
        names = points.layers.names if points.layers else ()
        fitting = [a for a in self._attempts.get(points.key.tag, ()) if a.names == names]
        for attempt in fitting:
            if attempt.writer == points.writer:
                return attempt
        before = [a for a in fitting if a.last_steps and a.last_steps[-1] < points.steps[0]]
        if before:
            before[-1].writer = points.writer
            return before[-1]
        return self._new(points)

    def _new(self, points: Points) -> Attempt:
        layered = points.layers is not None
        most = LAYER_BUCKETS if layered else SCALAR_BUCKETS
        width = min(points.values.shape[1], MOST_LAYERS) if layered else 1
        names = points.layers.names if points.layers else ()
        kept = self._attempts.setdefault(points.key.tag, [])
        for old in kept:
            if old.writer == points.writer:
                old.writer = ""  # it is over
        kept.append(Attempt(points.writer, Buckets(most, width), names))
        del kept[: -1 if layered else -MOST_ATTEMPTS]
        return kept[-1]
