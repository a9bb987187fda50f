"""Networks side by side in one model, told by the names of its layers.

``actor.0.weight`` and ``critic.0.weight`` belong to two networks, or to two parts of one;
``0.weight`` and ``3.weight`` to the same. What lies between two parts is no matter of depth: an
actor's gradient is not the critic's, handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

Seams = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Positions of the last layer of a part, and of the first one of the next."""

NO_SEAMS: Seams = (np.empty(0, np.intp), np.empty(0, np.intp))


def seams(names: Sequence[str], least: int) -> Seams:
    """Where a part ends and the next one begins, each of at least so many of these layers."""
    runs = _runs(names)
    found = [(b - 1, b) for (a, b), (_, c) in pairwise(runs) if b - a >= least and c - b >= least]
    ends, begins = zip(*found, strict=True) if found else ((), ())
    return np.array(ends, np.intp), np.array(begins, np.intp)


def _runs(names: Sequence[str]) -> list[tuple[int, int]]:
    """(first, behind the last) of each part."""
    split = [name.split(".") for name in names]
    while split and all(len(s) > 1 and s[0] == split[0][0] for s in split):
        split = [s[1:] for s in split]  # a wrapper's own name says nothing
    tops = ["" if s[0].isdigit() else s[0] for s in split]
    runs, at = [], 0
    for _, members in groupby(tops):
        size = len(list(members))
        runs.append((at, at + size))
        at += size
    return runs
