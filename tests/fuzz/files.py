"""Good event files whose every value can be told from every other.

The i-th value of a file is i itself, at a step and a wall time worked out from i: whatever comes
out of a damaged file can be looked up.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from monitor.formats import wire
from monitor.formats.tfrecord import encode

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_BEGIN = 1.7e9
_TAGS = ("loss", "train/loss", "lr", "a", "épreuve/β", "metrics/" + "long" * 12, "val_loss", "%2F")
_STEPS = (1, 3, 1000, 1 << 20, 1 << 40, -1)
_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")


@dataclass(frozen=True, eq=False)
class Good:
    """A file and what is in it; points are sorted by their record."""

    data: bytes
    bounds: Ints
    """[R + 1]: record r is ``data[bounds[r] : bounds[r + 1]]``."""
    first: Ints
    """[R + 1]: the points of record r are ``first[r] .. first[r + 1]``."""
    tags: Ints
    """[P]: index into ``names``."""
    steps: Ints
    walls: Floats
    names: Sequence[str]

    def record(self, r: int) -> bytes:
        return self.data[self.bounds[r] : self.bounds[r + 1]]


class _Maker:
    """Makes records of all shapes, one after the other."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        tags = chance.choice((1, 2, 8, 40))
        self.names = [*_TAGS, *(f"t{i}/" + "x" * (i % 30) for i in range(len(_TAGS), tags))][:tags]
        self._stride = chance.choice(_STEPS)
        self._named: set[int] = set()
        self._huge = False
        self.tags: list[int] = []
        self.steps: list[int] = []
        self.walls: list[float] = []

    def record(self, odd: float) -> bytes:
        """One record; of a shape that is less common with the probability ``odd``."""
        i = len(self.tags)
        step, wall = i * self._stride, _BEGIN + i / 64
        shape = self._chance.randrange(6) if self._chance.random() < odd else 0
        if shape <= 3:
            count = self._chance.randrange(2, 5) if shape == 1 else 1
            values = [_message(1, self._value(shape, step, wall)) for _ in range(count)]
            rest = wire.field_bytes(5, b"".join(values))
        elif shape == 4:
            rest = b"" if self._chance.random() < 0.3 else wire.field_bytes(3, b"brain.Event:2")
        else:
            rest = wire.field_bytes(5, _message(1, self._histogram()))
        return encode(wire.field_double(1, wall) + wire.field_varint(2, step) + rest)

    def _value(self, shape: int, step: int, wall: float) -> bytes:
        """A summary value: the number of the point, as a float or a tensor."""
        number = _FLOAT.pack(len(self.tags))
        tag = self._chance.randrange(len(self.names))
        self.tags.append(tag)
        self.steps.append(step)
        self.walls.append(wall)
        name = wire.field_bytes(1, self.names[tag].encode())
        if shape < 2:
            return name + b"\x15" + number
        content = wire.field_bytes(4, number) if shape == 2 else b"\x2a\x04" + number
        metadata = b"" if tag in self._named else _SCALARS
        self._named.add(tag)
        return (
            name + wire.field_bytes(8, wire.field_varint(1, 1) + b"\x12\x00" + content) + metadata
        )

    def _histogram(self) -> bytes:
        """No scalar: a few hundred bytes with many zeros, once in a file very many."""
        buckets = self._chance.choice((1, 30, 30, 30, 300, 30 if self._huge else 9000))
        self._huge = self._huge or buckets == 9000
        counts = b"".join(map(_DOUBLE.pack, range(min(30, buckets)))).ljust(8 * buckets, b"\0")
        return wire.field_bytes(1, b"weights") + wire.field_bytes(5, wire.field_bytes(7, counts))


def _message(number: int, message: bytes) -> bytes:
    return wire.field_bytes(number, message)


_SCALARS = _message(9, _message(1, wire.field_bytes(1, b"scalars")))


def make(chance: random.Random, records: int) -> Good:
    """A file of so many records."""
    maker = _Maker(chance)
    odd = chance.choice((0.0, 0.02, 0.3, 1.0))
    if records > 500:
        odd = min(odd, 0.02)  # or histograms would make up megabytes
    made: list[bytes] = []
    first = [0]
    for _ in range(records):
        made.append(maker.record(odd))
        first.append(len(maker.tags))
    bounds = np.concatenate(([0], np.cumsum([len(record) for record in made], dtype=np.int64)))
    tags, steps = np.array(maker.tags, np.int64), np.array(maker.steps, np.int64)
    walls = np.array(maker.walls, np.float64)
    return Good(b"".join(made), bounds, np.array(first), tags, steps, walls, maker.names)


@cache
def large(seed: int) -> Good:
    """One of few files with thousands of records, which are costly to make."""
    chance = random.Random(f"large {seed}")
    return make(chance, chance.randrange(1500, 4000))
