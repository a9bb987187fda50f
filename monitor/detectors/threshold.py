"""A value beyond a number that the user gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.robust import check, number
from monitor.points import Evidence, Floats, Health, Range, Verdicts, Window

LAYERS_TOLD = 3


@dataclass(frozen=True)
class Threshold:
    """A value beyond a number that the user gives.

    Sees every point of the series that the rule's ``match`` names, which must be said: scalars
    by role or tag, or layers by ``stat``. Bad where a value is more than ``above`` or less than
    ``below``; of layers, where one of them is. With both, ``below`` being the lower one, bad
    outside the two; with ``above`` the lower one, bad between them. The bounds themselves are
    good. Infinity is beyond any bound. NaN is unknown, and so is a point all of whose layers
    are. The rule's ``for`` says how long it must stay so.

    Defaults: none; ``above``, ``below`` or both have to be given.

    Stays quiet: NaN, which ``nonfinite`` is for; values on the bound; single values beyond it,
    if the rule has a ``for``.

    Source: alerting rules of Prometheus.
    """

    above: float | None = field(
        default=None, metadata={"unit": "value", "doc": "bad where the value is more than this"}
    )
    below: float | None = field(
        default=None, metadata={"unit": "value", "doc": "bad where the value is less than this"}
    )

    name: ClassVar[str] = "threshold"
    layered: ClassVar[bool | None] = None
    context: ClassVar[tuple[str, ...]] = ()
    lookback: ClassVar[int] = 1
    default_match: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        for name, bound in (("above", self.above), ("below", self.below)):
            check(name, bound is None or not math.isnan(bound), "a number")
        if self.above is None and self.below is None:
            raise ValueError("threshold needs 'above', 'below' or both")
        check("below", self.above != self.below, "other than 'above'")

    def _beyond(self, values: Floats) -> NDArray[np.bool_]:
        """Where values are bad; NaN never is."""
        never = np.zeros(values.shape, np.bool_)
        high = never if self.above is None else values > self.above
        low = never if self.below is None else values < self.below
        return np.asarray(high & low if self._between else high | low, np.bool_)

    @property
    def _between(self) -> bool:
        """Whether it is bad between the bounds rather than outside them."""
        return self.above is not None and self.below is not None and self.above < self.below

    def __call__(self, window: Window) -> Verdicts:
        """BAD where a value is beyond the bound, UNKNOWN where nothing is known."""
        values = window.values[len(window.steps) - window.new :]
        bad, known = self._beyond(values), ~np.isnan(values)
        if values.ndim == 2:
            bad, known = bad.max(axis=1), known.max(axis=1)
        health = np.where(bad, Health.BAD, np.where(known, Health.OK, Health.UNKNOWN))
        return Verdicts(health.astype(np.int8))

    @property
    def never_bad(self) -> tuple[Range, ...]:
        """What is within the bounds."""
        above = math.inf if self.above is None else self.above
        below = -math.inf if self.below is None else self.below
        if self._between:
            return (-math.inf, above), (below, math.inf)
        return ((below, above),) if below <= above else ()

    def explain(self, window: Window) -> Evidence:
        """The value and the bound; of layers, those beyond it, the farthest first."""
        value, step = window.values[-1], int(window.steps[-1])
        if window.layers is None:
            said = f"{number(float(value))} at step {step}, {self._bound(float(value))}"
            return Evidence(float(value), said)
        at = np.flatnonzero(self._beyond(value))
        at = at[np.argsort(-self._distance(value[at]), kind="stable")]
        names = tuple(window.layers.names[i] for i in at)
        told = ", ".join(
            f"{window.layers.names[i]} {number(float(value[i]))}" for i in at[:LAYERS_TOLD]
        )
        more = f" and {len(at) - LAYERS_TOLD} more" if len(at) > LAYERS_TOLD else ""
        worst = float(value[at[0]])
        said = (
            f"{len(at)} of {len(value)} layers at step {step}: {told}{more}; the farthest is "
            f"{self._bound(worst)}"
        )
        return Evidence(worst, said, layers=names)

    def _bound(self, value: float) -> str:
        above, below = (number(math.nan if b is None else b) for b in (self.above, self.below))
        if self._between:
            return f"between {above} and {below}"
        high = self.above is not None and value > self.above
        return f"more than {above}" if high else f"less than {below}"

    def _distance(self, values: Floats) -> Floats:
        """How far beyond the bounds."""
        none = np.full(values.shape, -np.inf)
        above = none if self.above is None else values - self.above
        below = none if self.below is None else self.below - values
        distance: Floats = np.minimum(above, below) if self._between else np.maximum(above, below)
        return distance
