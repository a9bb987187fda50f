"""Small detectors with every kind of parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from monitor.points import UNKNOWN, Curve, Evidence, Health, Pulse, Verdict, Verdicts, Window


@dataclass(frozen=True)
class Above:
    """A scalar detector with a parameter of each kind."""

    limit: float = field(default=1.0, metadata={"unit": "ratio", "doc": "the limit"})
    within: int = field(default=100, metadata={"unit": "steps"})
    window: int = field(default=10, metadata={"unit": "points"})
    pause: float = field(default=60.0, metadata={"unit": "seconds"})
    count: int = 3
    strict: bool = False
    label: str = ""
    side: Literal["up", "down"] = "up"
    cap: float | None = None

    name: ClassVar[str] = "above"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}
    facts: ClassVar[tuple[str, ...]] = ("height",)

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ValueError("window: at least 2 points")
        if self.count > self.window:
            raise ValueError("window: at least count")
        if self.limit == 13:
            raise ValueError("unlucky")

    @property
    def lookback(self) -> int:
        return self.window

    def __call__(self, window: Window) -> Verdicts:
        return Verdicts(np.full(window.new, Health.OK, np.int8))

    def explain(self, window: Window) -> Evidence:
        return Evidence(float(window.values[-1]), "above")


@dataclass(frozen=True)
class Small:
    """A layer detector."""

    name: ClassVar[str] = "small"
    layered: ClassVar[bool] = True
    context: ClassVar[tuple[str, ...]] = ()
    lookback: ClassVar[int] = 1
    default_match: ClassVar[Mapping[str, str]] = {"stat": "grad_norm"}

    def __call__(self, window: Window) -> Verdicts:
        return Verdicts(np.full(window.new, Health.OK, np.int8))

    def explain(self, window: Window) -> Evidence:
        return Evidence(0.0, "small")


@dataclass(frozen=True)
class Flat:
    """A curve detector that looks at any series."""

    name: ClassVar[str] = "flat"
    context: ClassVar[tuple[str, ...]] = ()

    def judge(self, curve: Curve) -> Verdict:
        return UNKNOWN


@dataclass(frozen=True)
class Silent:
    """A pulse detector."""

    name: ClassVar[str] = "silent"

    def listen(self, pulse: Pulse, now: float) -> Verdict:
        return UNKNOWN


FAKES: Mapping[str, type] = {"above": Above, "small": Small, "flat": Flat, "silent": Silent}
