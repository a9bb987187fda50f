"""A run as others may see it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from monitor.alerts import Alert
from monitor.points import Floats, Layers


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as others may see it: a frozen picture, made anew when the run has changed."""

    run: str
    last_step: int
    last_event: float
    """Seconds since the epoch."""
    ended: bool
    alerts: tuple[Alert, ...]
    """In firing order, resolved ones included."""
    forgotten: Mapping[str, int]
    """Per alert name: how many old episodes are no longer among ``alerts``."""
    scalars: Mapping[str, float]
    """Latest value of each scalar tag."""
    layers: Mapping[str, tuple[Layers, Floats]]
    """Per layer statistic: the columns and their latest values [N]."""
    facts: Mapping[str, str]
    trend: Floats = field(default_factory=lambda: np.empty(0))
    """The training loss of its present attempt in at most 256 means, the latest last."""


def by_name(run: str) -> tuple[str | int, ...]:
    """To sort names by, as people do: ``lr2`` comes before ``lr10``."""
    parts = re.split(r"(\d+)", run)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts))
