"""Series in few characters, as promtool writes them.

1 2 nan -inf     these values
_  _x5           no point; five times no point
2x10             2, and ten further points that are 2
2-0.1x10         2, and ten further points, each 0.1 less
2*0.9x10         2, and ten further points, each 0.9 times the one before
2-0.1~0.5x10     the same, with noise of the standard deviation 0.5: always the same noise
"""

from __future__ import annotations

import math
import re
from random import Random
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from monitor.points import Floats

MOST_POINTS = 1_000_000

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_PIECE = re.compile(
    rf"(?P<first>[-+]?(?:{_NUMBER}|inf)|nan|_)"
    rf"(?:(?P<sign>[-+*])(?P<change>{_NUMBER}))?(?:~(?P<noise>{_NUMBER}))?(?:x(?P<more>[0-9]{{1,9}}))?"
)
_EXAMPLES = "1, nan, 2x10, 2-0.1x10, 2*0.9x10, 2-0.1~0.5x10, _ or _x10"


class BadNotation(ValueError):  # noqa: N818 - reads as what it says
    """A piece that is no value, ``offset`` characters from the text's beginning."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def parse(text: str, seed: str = "") -> tuple[Floats, NDArray[np.bool_]]:
    """The values [T], and where there is a point at all [T]; noise differs between seeds."""
    noise = Random(seed)  # noqa: S311 - a sequence that is the same everywhere, nothing secret
    values: list[Floats] = []
    there: list[NDArray[np.bool_]] = []
    total = 0
    for word in re.finditer(r"\S+", text):
        piece = _PIECE.fullmatch(word[0])
        missing = piece is not None and piece["first"] == "_"
        if piece is None or (missing and (piece["sign"] or piece["noise"])):
            raise BadNotation(f"{word[0]!r} is no value: write {_EXAMPLES}", word.start())
        count = int(piece["more"] or 0) + (not missing or piece["more"] is None)
        total += count
        if total > MOST_POINTS:
            raise BadNotation(f"more than {MOST_POINTS} points", word.start())
        values.append(np.full(count, np.nan) if missing else _values(piece, count, noise))
        there.append(np.full(count, not missing))
    if not values:
        raise BadNotation(f"no values: write {_EXAMPLES}", 0)
    return np.concatenate(values), np.concatenate(there)


def _values(piece: re.Match[str], count: int, noise: Random) -> Floats:
    first, at = float(piece["first"]), np.arange(count, dtype=np.float64)
    change = float(piece["change"] or 0)
    with np.errstate(all="ignore"):
        if piece["sign"] == "*":
            values: Floats = first * change**at
        else:
            values = first + at * math.copysign(change, -1 if piece["sign"] == "-" else 1)
    if piece["noise"] is None:
        return values
    normal = NormalDist(0, float(piece["noise"]) or 1e-300)
    # Not gauss(), whose numbers Python does not promise to keep.
    off = np.array([normal.inv_cdf(noise.random() or 0.5) for _ in range(count)])
    noisy: Floats = values + off
    return noisy
