"""A loss that bounces instead of falling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from monitor.points import OK, UNKNOWN, Curve, Verdict


@dataclass(frozen=True)
class Oscillation:
    """A loss that bounces instead of falling."""

    points: int = field(
        default=32, metadata={"unit": "points", "doc": "points needed before judging"}
    )

    name: ClassVar[str] = "oscillation"
    context: ClassVar[tuple[str, ...]] = ("learning_rate",)
    default_match: ClassVar[Mapping[str, str]] = {"role": "train_loss"}

    def judge(self, curve: Curve) -> Verdict:
        return UNKNOWN if curve.count < self.points else OK
