"""Copies of one model on several ranks: how far apart their weights have come.

Under data parallelism every rank holds all weights and makes the same step, so that copies that
began alike stay alike, to the bit. The hook tells one number of each rank, the norm of all
weights before a step; here they are laid side by side.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from monitor.points import Floats, Ints, Layers

STAT = "replica_difference"
"""Layer statistic with a column per rank: how far its weights' norm is from the ranks' median, in
parts of it."""

ALIKE = 1e-6
"""Norms that differ by less are those of the same weights, whatever adds them up."""

HELD = 100_000
"""Norms that wait for other ranks, per rank: most trainings are watched on the first rank only."""


_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True)
class Told:
    """Norms by one rank; all arrays are [T]."""

    seen: Ints
    """Steps of its process before this one: grows."""
    norms: Floats
    steps: Ints
    walls: Floats
    clock: Floats

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Told:
        return Told(*(getattr(self, name)[rows] for name in self.__slots__))


def together(*parts: Told) -> Told:
    """One after the other."""
    return Told(*(np.concatenate([getattr(p, n) for p in parts]) for n in Told.__slots__))


@dataclass(slots=True)
class Replicas:
    """What the ranks of one launch have told of their weights."""

    ranks: int
    _first: dict[int, float] = field(default_factory=dict)
    """Norms before the very first step."""
    _waiting: dict[int, list[Told]] = field(default_factory=dict)

    def tell(self, rank: int, told: Told) -> None:
        """Takes what one rank wrote."""
        if not len(told.seen):
            return
        if told.seen[0] == 0:
            self._first.setdefault(rank, float(told.norms[0]))
        waiting = self._waiting.setdefault(rank, [])
        waiting.append(told)
        while sum(len(part.seen) for part in waiting) > HELD and len(waiting) > 1:
            del waiting[0]

    def compare(self) -> tuple[Told, Floats] | None:
        """The first rank's steps that all ranks have told of by now, and differences [T, ranks].

        None where there are none, or where the ranks did not begin alike: parts of a model, or
        models of their own, are no copies.
        """
        if not all(self._waiting.get(rank) for rank in range(self.ranks)):
            return None
        whole = {rank: together(*self._waiting[rank]) for rank in range(self.ranks)}
        common = reduce(np.intersect1d, [told.seen for told in whole.values()])
        if not len(common):
            return None
        self._waiting = {rank: [told[told.seen > common[-1]]] for rank, told in whole.items()}
        if not self._copies:
            return None
        chosen = [
            told[np.searchsorted(told.seen, common, side="right") - 1] for told in whole.values()
        ]
        return chosen[0], apart(np.stack([told.norms for told in chosen], axis=1))

    @property
    def _copies(self) -> bool:
        """Whether all ranks are known to have begun with the same weights."""
        first = np.array([[self._first.get(rank, np.nan) for rank in range(self.ranks)]])
        return bool(np.isfinite(first).all() and (apart(first) <= ALIKE).all())

    @property
    def layers(self) -> Layers:
        """The columns of the differences."""
        n = self.ranks
        return Layers(tuple(f"rank {i}" for i in range(n)), ("",) * n, ((),) * n, ("",) * n)


def apart(norms: Floats) -> Floats:
    """Distance of each from the ranks' median, in parts of it: [T, ranks], as ``norms``.

    A norm that is not finite is another fault: it is as far away as nothing.
    """
    known = np.where(np.isfinite(norms), norms, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no rank is finite
        middle = np.nanmedian(known, axis=1, keepdims=True)
    distance: Floats = np.nan_to_num(np.abs(known - middle) / np.maximum(middle, _TINY))
    return distance
