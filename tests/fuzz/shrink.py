"""Makes a failing case small, and keeps it in a file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.fuzz.cases import Case, judge
from tests.fuzz.files import Good
from tests.fuzz.mutate import Mutant, join

MOST_SECONDS = 60.0
"""One failure must not keep the others waiting."""


def shrunk(failing: Case) -> Case:
    """The same failure, as far as can be told, in fewer bytes and pieces."""
    for simpler in (replace(failing, pieces=[]), replace(failing, pieces=[], cursor=False)):
        if judge(simpler).wrong:
            failing = simpler
    end, size = time.monotonic() + MOST_SECONDS, len(failing.mutant) // 2
    while size and time.monotonic() < end:
        at, before = 0, len(failing.mutant)
        while at < len(failing.mutant) and time.monotonic() < end:
            smaller = replace(failing, mutant=_without(failing.mutant, at, at + size))
            if judge(smaller).wrong:
                failing = smaller
            else:
                at += size
        if len(failing.mutant) == before or size > 1:
            size //= 2
    return failing


def _without(mutant: Mutant, a: int, b: int) -> Mutant:
    return join(mutant.cut(0, a), mutant.cut(b, len(mutant)))


def save(kept: Case, path: Path) -> None:
    """Everything that is needed to try it again."""
    good, mutant = kept.good, kept.mutant
    np.savez_compressed(
        path,
        good=np.frombuffer(good.data, np.uint8),
        bounds=good.bounds,
        first=good.first,
        tags=good.tags,
        steps=good.steps,
        walls=good.walls,
        names=np.array(good.names),
        data=mutant.data,
        origin=mutant.origin,
        damage=np.array(kept.damage, str),
        pieces=np.array(kept.pieces, np.int64),
        cursor=np.array(kept.cursor),
    )


def load(path: Path) -> Case:
    """What :func:`save` wrote."""
    with np.load(path) as kept:
        good = Good(
            kept["good"].tobytes(),
            kept["bounds"],
            kept["first"],
            kept["tags"],
            kept["steps"],
            kept["walls"],
            kept["names"].tolist(),
        )
        mutant = Mutant(kept["data"], kept["origin"])
        pieces, damage = kept["pieces"].tolist(), kept["damage"].tolist()
        return Case(good, mutant, damage, pieces, bool(kept["cursor"]))
