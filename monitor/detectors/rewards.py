"""Runs that log a reward: what their losses say is another matter."""

from __future__ import annotations

import numpy as np

from monitor.detectors.robust import SIGMA, middle
from monitor.points import Curve, Floats


def rewarded(curve: Curve) -> bool:
    """The run logs a reward: its losses are no measure of what it learns."""
    rewards = curve.context.get("reward")
    return rewards is not None and bool(np.isfinite(rewards).any())


def got_on(curve: Curve) -> bool:
    """The reward has risen beyond its scatter: values grow with the returns, and their losses."""
    rewards: Floats = curve.context.get("reward", np.empty(0))
    known = rewards[np.isfinite(rewards)]
    if len(known) < 12:
        return False
    late = known[-(len(known) // 4) :]
    now = middle(late)
    return now - middle(known[:3]) > 3 * SIGMA * middle(np.abs(late - now))
