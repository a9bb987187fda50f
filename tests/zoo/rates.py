"""Schedules: part of the run, 0 to 1 -> factor of the learning rate."""

from __future__ import annotations

import math


def warmup(part: float) -> float:
    """From almost nothing within the first tenth."""
    return min(1.0, part / 0.1 + 0.01)


def cosine(part: float) -> float:
    """Down to nothing."""
    return 0.5 * (1 + math.cos(math.pi * part))


def warm_cosine(part: float) -> float:
    """Both."""
    return min(1.0, part / 0.06 + 0.01) * cosine(part)


def one_cycle(part: float) -> float:
    """Smith's: up for three tenths, down to a thousandth."""
    if part < 0.3:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * part / 0.3))
    return 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * (part - 0.3) / 0.7))


def restarts(part: float) -> float:
    """Cosines that begin anew, four of them."""
    return 0.02 + 0.98 * cosine((4 * part) % 1)


def cyclic(part: float) -> float:
    """Triangles, five of them."""
    return 0.1 + 0.9 * abs(((5 * part) % 1) * 2 - 1)


def linear(part: float) -> float:
    """After a short warm-up, straight down."""
    return min(1.0, part / 0.05 + 0.01) * (1 - part)


def tail(part: float) -> float:
    """The article's: one sudden drop shortly before the end, then flat."""
    return 1.0 if part < 0.85 else 0.1


def inverse_root(part: float) -> float:
    """Warm-up, then by the inverse square root."""
    return min(part / 0.08 + 0.01, math.sqrt(0.08 / max(part, 1e-9)))
