"""What a detector is.

A detector is a frozen dataclass of its parameters and a pure function of what it is shown:
no files, no clock, no memory. There are three kinds, by what they look at:

* :class:`WindowDetector`: the last points, one verdict per point, in one sweep over arrays;
* :class:`CurveDetector`: the whole curve in bins, now and then;
* :class:`PulseDetector`: when events came, against the daemon's clock.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from monitor.points import Curve, Evidence, Pulse, Verdict, Verdicts, Window


@runtime_checkable
class WindowDetector(Protocol):
    """Judges each new point from itself and the ``lookback - 1`` points before it."""

    name: ClassVar[str]
    layered: ClassVar[bool]
    """True: values are [T, N], one column per layer. False: values are [T]."""
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


Detector = WindowDetector | CurveDetector | PulseDetector
