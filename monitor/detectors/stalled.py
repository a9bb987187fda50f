"""A run from which nothing is heard any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from monitor.detectors.robust import check
from monitor.points import OK, UNKNOWN, Evidence, Health, Pulse, Verdict

_DAY = 86400.0


@dataclass(frozen=True)
class Stalled:
    """A run that was logging and has gone silent without saying that it is over.

    Sees the pauses between the run's events. Bad while the silence is longer than
    ``max(minimum, longest_factor * longest pause so far, typical_factor * median pause)`` and
    shorter than ``finished_after``.

    Defaults: ``minimum`` 600 s lets compilation, a checkpoint or an evaluation pass;
    ``longest_factor`` 3, since the second evaluation may well take longer than the first;
    ``typical_factor`` 10 for runs that log once per epoch, of which only a few pauses are known;
    ``finished_after`` one day: a run that was silent for so long had ended, probably without a
    word, and is news to nobody; also what a newly started monitor finds in an old log directory.
    ``events`` 3: before that no pause is typical.

    Stays quiet: checkpoints, evaluations and compilation; runs that said that they ended, or whose
    schedule has taken every learning rate to nothing, which is as good as a word; old runs; a
    writer whose clock is ahead of ours.

    Source: our reasoning.
    """

    minimum: float = field(
        default=600.0,
        metadata={"unit": "seconds", "doc": "a silence shorter than this is never a stall"},
    )
    longest_factor: float = field(
        default=3.0, metadata={"unit": "ratio", "doc": "times the longest pause seen so far"}
    )
    typical_factor: float = field(
        default=10.0, metadata={"unit": "ratio", "doc": "times the median of recent pauses"}
    )
    finished_after: float = field(
        default=_DAY,
        metadata={"unit": "seconds", "doc": "a run silent for longer than this has ended"},
    )
    events: int = field(
        default=3, metadata={"unit": "points", "doc": "events to have seen before judging"}
    )

    name: ClassVar[str] = "stalled"
    default_match: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        check("minimum", self.minimum > 0, "more than 0 seconds")
        check("longest_factor", self.longest_factor >= 1, "at least 1")
        check("typical_factor", self.typical_factor >= 1, "at least 1")
        check("finished_after", self.finished_after > self.minimum, "longer than minimum")
        check("events", self.events >= 2, "at least 2: a pause lies between two events")

    def limit(self, pulse: Pulse) -> float:
        """Seconds of silence from which on the run is stalled."""
        longest = pulse.longest_gap if math.isfinite(pulse.longest_gap) else 0.0
        typical = pulse.typical_gap if math.isfinite(pulse.typical_gap) else 0.0
        return max(self.minimum, self.longest_factor * longest, self.typical_factor * typical)

    def listen(self, pulse: Pulse, now: float) -> Verdict:
        """Judges the silence as of ``now``."""
        if pulse.ended or pulse.spent:
            return OK
        silence = now - pulse.last_wall_time
        if pulse.events < self.events or not math.isfinite(silence):
            return UNKNOWN
        limit = self.limit(pulse)
        if silence <= limit:
            return OK
        if silence > self.finished_after:
            return UNKNOWN
        seen = (
            f"nothing logged for {duration(silence)} since step {pulse.last_step}; "
            f"the longest pause before was {duration(pulse.longest_gap)}, "
            f"a typical one {duration(pulse.typical_gap)}"
        )
        facts = {"limit": duration(limit)}
        return Verdict(Health.BAD, Evidence(silence, seen, pulse.last_step, facts=facts))


def duration(seconds: float) -> str:
    """For people: ``4.2 s``, ``12 min``, ``3.1 h``."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
