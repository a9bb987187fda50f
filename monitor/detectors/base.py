"""What a detector is.

A detector is a frozen dataclass of its parameters and a pure function of what it is shown:
no files, no clock, no memory of its own. There are four kinds, by what they look at:

* :class:`WindowDetector`: the last points, one verdict per point, in one sweep over arrays;
* :class:`FoldDetector`: the new points and what it noted of those before, one verdict per point;
* :class:`CurveDetector`: the whole curve in bins, now and then;
* :class:`PulseDetector`: when events came, against the daemon's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from monitor.points import Curve, Evidence, Floats, Pulse, Range, Verdict, Verdicts, Window


class TextError(ValueError):
    """A mistake within the text of a parameter, ``offset`` characters from its beginning.

    Other mistakes of parameters are plain ValueErrors: ``"field: what it must be"``.
    """

    def __init__(self, field: str, message: str, offset: int) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.offset = offset

    def __reduce__(self) -> tuple[type[TextError], tuple[str, str, int]]:
        return TextError, (self.field, self.message, self.offset)


@runtime_checkable
class WindowDetector(Protocol):
    """Judges each new point from itself and the ``lookback - 1`` points before it."""

    name: ClassVar[str]

    @property
    def layered(self) -> bool | None:
        """True: values are [T, N], one column per layer. False: values are [T]. None: it takes
        both, and the rule's ``match`` decides.
        """
        ...

    context: ClassVar[tuple[str, ...]]
    """Roles whose value as of each point it wants to know, e.g. ``("learning_rate",)``."""

    @property
    def lookback(self) -> int:
        """Points that one verdict may depend on, its own included: at least 1."""
        ...

    def __call__(self, window: Window) -> Verdicts:
        """Verdicts for the last ``window.new`` points.

        The verdict of point i depends on points i - lookback + 1 .. i only, on
        ``window.index + i`` and on ``window.first_step``; never on how the points were cut
        into windows.
        """
        ...

    def explain(self, window: Window) -> Evidence:
        """Evidence for the window's last point, whose verdict was bad."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """A role that is named within the text of a parameter; a detector lists them as ``words``."""

    param: str
    text: str
    offset: int


Memory = tuple[Floats, ...]
"""What a :class:`FoldDetector` notes of an attempt so far; its length never changes, and how much
its arrays may hold follows from the detector's parameters."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What came of showing new points to a :class:`FoldDetector`."""

    health: NDArray[np.int8]
    """One verdict per point: [new]."""
    memory: Memory
    """To be shown with the points after these."""
    seen: Floats
    """[K, new]: the numbers that :meth:`FoldDetector.explain` wants of a point."""


@runtime_checkable
class FoldDetector(Protocol):
    """Judges each new point from itself and a memory of the points before it.

    For verdicts that depend on the whole attempt and yet must not be late (the lowest median so
    far): a window forgets, and a curve is looked at now and then. The engine keeps the memory,
    one for each attempt, so that the detector itself stays a pure function.
    """

    name: ClassVar[str]

    @property
    def context(self) -> tuple[str, ...]:
        """As of a :class:`WindowDetector`; ``tag:`` and a tag stands for that very series."""
        ...

    def begin(self) -> Memory:
        """The memory of an attempt without points."""
        ...

    def fold(self, memory: Memory, window: Window) -> Folded:
        """Verdicts for all points of the window, which holds new points only.

        Folding two windows one after the other gives bit for bit what folding both at once does.
        """
        ...

    def explain(self, window: Window, seen: Floats) -> Evidence:
        """Evidence for the window's last point, whose verdict was bad; ``seen`` is [K]."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A window detector that some points of a scalar series need not be shown at once.

    Where nothing can be bad, the verdicts would change nothing, and many points are judged at the
    cost of a few.
    """

    @property
    def never_bad(self) -> tuple[Range, ...]:
        """Values that never are, whatever came before them."""
        ...


@runtime_checkable
class BoundedFold(Protocol):
    """The same of a fold detector."""

    def never_bad_after(self, memory: Memory) -> tuple[Range, ...]:
        """Values that, in any number, never are after what is remembered."""
        ...


@runtime_checkable
class CurveDetector(Protocol):
    """Judges the curve so far; asked whenever some bins are complete."""

    name: ClassVar[str]
    context: ClassVar[tuple[str, ...]]

    def judge(self, curve: Curve) -> Verdict: ...


@runtime_checkable
class PulseDetector(Protocol):
    """Judges the silence since the last event; ``now`` is the daemon's clock, in seconds."""

    name: ClassVar[str]

    def listen(self, pulse: Pulse, now: float) -> Verdict: ...


Detector = WindowDetector | FoldDetector | CurveDetector | PulseDetector
