"""The vocabulary that every room shares: series, points, windows, curves and verdicts.

Only arrays and frozen values live here; nothing reads a file, a clock or a setting.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LAYER_PREFIX = "layer/"
"""Tags of layer series are ``layer/<stat>``, e.g. ``layer/grad_norm``."""


TAG_PREFIX = "tag:"
"""What detectors ask to be joined is a role, or ``tag:<tag>`` for the series of that very tag."""

START_PREFIX = "start:"
"""``start:<role>`` is the first value of a role, where its value now is not what is wanted."""


class SeriesKey(NamedTuple):
    """A series is one (run, tag): at each step one number, or one per layer."""

    run: str
    tag: str


@dataclass(frozen=True, slots=True)
class Layers:
    """What is known of the N columns of a layer series; each tuple has N entries.

    Columns stand in the order in which the forward pass executed them (depth order).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    """Class of the module (of the owning module, for a parameter): ``Linear``, ``Sigmoid``."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Shape of the parameter; empty tuples for modules."""
    followed_by: tuple[str, ...] = ()
    """``name:Kind`` of the activation that ran right after the module, or ``""``."""

    def choose(self, columns: NDArray[np.bool_]) -> Layers:
        """Only the layers at the True entries of ``columns`` [N]."""

        def pick(entries: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(e for e, chosen in zip(entries, columns, strict=False) if chosen)

        return Layers(pick(self.names), pick(self.kinds), pick(self.shapes), pick(self.followed_by))


Range = tuple[float, float]
"""Of values: the least and the greatest."""

ALL: Range = -math.inf, math.inf
"""NaN, too."""
FINITE: Range = -sys.float_info.max, sys.float_info.max


class Quiet(NamedTuple):
    """How a scalar series may go on without any rule having something to say of it."""

    ranges: tuple[Range, ...]
    """Values that are of no interest, in any number."""
    points: int
    """When so many more have come, its curve is judged."""


WHATEVER = Quiet((ALL,), sys.maxsize)
NOTHING = Quiet((), sys.maxsize)


def both(some: Iterable[Range], others: Sequence[Range]) -> tuple[Range, ...]:
    """What lies in some of ``some`` and in some of ``others``."""
    overlaps = ((max(a, c), min(b, d)) for a, b in some for c, d in others)
    return tuple((low, high) for low, high in overlaps if low <= high)


@dataclass(frozen=True, slots=True)
class Points:
    """New points of one series, from one writer, in the order in which they were written.

    Shapes: ``steps``, ``wall_times`` and ``clock`` are [T]; ``values`` is [T] for a scalar
    series and [T, N] for a layer series with N layers.
    """

    key: SeriesKey
    writer: str
    steps: Ints
    wall_times: Floats
    """Seconds since the epoch as the writer gave them: may be NaN, may go back."""
    clock: Floats
    """Seconds; the greatest finite wall time that this writer had shown when the point was
    written (over all its tags; events without points do not count). Never goes back, so that
    series can be joined on it."""
    values: Floats
    layers: Layers | None = None

    @property
    def last(self) -> float | Floats:
        """The last value; [N] for a layer series."""
        value: float | Floats = self.values[-1]
        return value

    def points(self) -> Points:
        """Itself: points are a column too."""
        return self


class Column(Protocol):
    """New points of one series, at least one, in whatever form is cheap where they come from.

    Most series are logged and never judged, so that arrays are only made of those that are.
    """

    @property
    def key(self) -> SeriesKey: ...

    @property
    def last(self) -> float | Floats:
        """The last value; [N] for a layer series."""
        ...

    def points(self) -> Points: ...


class Events(NamedTuple):
    """The events of one read that hold points, in the order in which they were written: [E]."""

    steps: Sequence[int] | Ints
    clock: Sequence[float] | Floats
    """As in :class:`Points`: never goes back."""


NOTHING_HEARD = Events((), ())
NO_FACTS: Mapping[str, str] = MappingProxyType({})


class Batch(NamedTuple):
    """What one read of one event file gave: columns per series, and facts about the run."""

    run: str
    writer: str
    columns: Sequence[Column] = ()
    events: Events = NOTHING_HEARD
    facts: Mapping[str, str] = NO_FACTS
    """Free-form, said once by the hook: optimizer, learning rates, torch version, ..."""
    ended: bool = False
    """The writer said that the run is over (the hook's close, a session log's STOP)."""

    @property
    def points(self) -> tuple[Points, ...]:
        """All columns as points."""
        return tuple(column.points() for column in self.columns)


class Health(IntEnum):
    """UNKNOWN neither fires nor resolves: too little data is not good news."""

    UNKNOWN = 0
    OK = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector saw, in numbers; only made for bad verdicts."""

    value: float
    """The number that an alert shows first (the loss, a ratio, a count)."""
    seen: str
    """One sentence with numbers and steps: what was seen."""
    onset_step: int | None = None
    """The step at which the trouble began, where the detector can tell."""
    layers: tuple[str, ...] = ()
    """Names of the layers at fault, worst first."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further values for the rule's templates, already formatted."""
    saw_from: int | None = None
    """First step of what the detector was shown; the engine knows it, detectors need not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verdict, with evidence if and only if it is bad."""

    health: Health
    evidence: Evidence | None = None


UNKNOWN = Verdict(Health.UNKNOWN)
OK = Verdict(Health.OK)


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive points of one series from one attempt; the last ``new`` want a verdict.

    The points before them are context: as many as the detector's ``lookback`` asks for, or
    fewer at the start of an attempt.
    """

    key: SeriesKey
    index: int
    """Position of the window's first point in the attempt, from 0."""
    new: int
    first_step: int
    """Step of the attempt's first point."""
    steps: Ints
    wall_times: Floats
    values: Floats
    layers: Layers | None = None
    context: Mapping[str, Floats] = field(default_factory=dict)
    """Per role that the detector asked for: its value [T] as of each point; NaN if unknown."""

    def choose(self, columns: NDArray[np.bool_]) -> Window:
        """The window of a layer series with only some of its layers: ``columns`` is [N]."""
        layers = None if self.layers is None else self.layers.choose(columns)
        return replace(self, values=self.values[:, columns], layers=layers)

    def upto(self, i: int, lookback: int) -> Window:
        """The window as it stood when point ``i`` was its last: at most ``lookback`` points."""
        a, b = max(0, i + 1 - lookback), i + 1
        return replace(
            self,
            index=self.index + a,
            new=1,
            steps=self.steps[a:b],
            wall_times=self.wall_times[a:b],
            values=self.values[a:b],
            context={role: column[a:b] for role, column in self.context.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A whole scalar series of one attempt, in at most 256 bins of equally many points.

    All arrays are [B]. When 256 bins are full, neighbours are merged: a bin then holds twice
    as many points. Only finite values count; a bin without any is NaN.
    """

    key: SeriesKey
    per_bin: int
    """Points in each bin."""
    count: int
    """Points of the attempt so far: B * per_bin."""
    first_step: int
    steps: Ints
    """Step of the last point of each bin."""
    wall_times: Floats
    mean: Floats
    low: Floats
    high: Floats
    spread: Floats
    """Standard deviation within the bin (0 for one point)."""
    roughness: Floats
    """Root mean square of differences between successive points within the bin and from the
    bin before it; sqrt(2) times the noise's standard deviation where noise is white."""
    head: Floats
    """The attempt's first values, up to 16, as they came: a bin of many points hides them."""
    context: Mapping[str, Floats] = field(default_factory=dict)
    """Per role that the detector asked for: its value as of the end of each bin."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """When a run was heard of: all that the liveness detectors see."""

    run: str
    events: int
    last_step: int
    last_wall_time: float
    """Seconds since the epoch of the last event."""
    typical_gap: float
    """Seconds: median of the recent pauses between events with different steps."""
    longest_gap: float
    """Seconds: the longest such pause so far."""
    ended: bool
    spent: bool = False
    """Every learning rate has been lowered to nothing: the schedule has come to its end."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One verdict for each of the last ``new`` points of a window: ``Health`` as int8 [new]."""

    health: NDArray[np.int8]
