"""What the detectors of initialisation and activations share: first steps, runs, kinds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.points import Health, Window

LOOKED_AT = 200
"""Sampled steps for which it is looked whether a bad start has healed; then it stands."""


def early(window: Window, within: int) -> NDArray[np.bool_]:
    """[T]: points among the first ``within`` steps of a run, not of one that was resumed."""
    since: NDArray[np.bool_] = window.steps - window.first_step < within
    return since & (window.first_step < within)


def of_the_first(
    window: Window,
    sick: NDArray[np.bool_],
    known: NDArray[np.bool_],
    within: int,
    later: int = 1,
) -> NDArray[np.int8]:
    """Verdicts [new] on the run's first sampled step, told so many ``later``.

    ``sick`` and ``known`` are [T]. One step later or more, so that what explains it, such as inputs
    out of range, has been seen by then. Later points can only say that all is well again (OK) or
    that it still is as it was (UNKNOWN), the latter of all beyond :data:`LOOKED_AT`. Nothing is bad
    in a run whose first step is not below ``within``: it was resumed.
    """
    begin = len(sick) - window.new
    health = np.full(window.new, Health.UNKNOWN, np.int8)
    places = window.index + np.arange(len(sick))
    health[(known & ~sick & (places < LOOKED_AT))[begin:]] = Health.OK
    told = later - window.index
    if begin <= told < len(sick) and sick[told - later] and window.first_step < within:
        health[told - begin] = Health.BAD
    return health


def in_a_row(
    window: Window, sick: NDArray[np.bool_], known: NDArray[np.bool_], samples: int
) -> NDArray[np.int8]:
    """Verdicts [new]: BAD where ``samples`` points up to this one are all ``sick``.

    ``sick`` and ``known`` are [T]. A known point that is not sick is OK, a sick one that is too
    early to call is UNKNOWN.
    """
    begin = len(sick) - window.new
    health = np.full(window.new, Health.UNKNOWN, np.int8)
    health[(known & ~sick)[begin:]] = Health.OK
    health[lasting(sick, samples)[begin:]] = Health.BAD
    return health


def lasting(sick: NDArray[np.bool_], samples: int) -> NDArray[np.bool_]:
    """[T] or [T, N], as ``sick``: where it is true now and in the ``samples - 1`` points before."""
    result: NDArray[np.bool_] = sick.copy()
    for back in range(1, samples):
        result[:back] = False
        result[back:] &= sick[:-back]
    return result


def weighted(kind: str) -> bool:
    """Whether modules of this kind multiply by a matrix: linear and convolution layers."""
    return "linear" in kind.lower() or "conv" in kind.lower()


def normalising(kind: str) -> bool:
    """Whether modules of this kind normalise: BatchNorm2d, LayerNorm, RMSNorm, ..."""
    return "norm" in kind.lower()
