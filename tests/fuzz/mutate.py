"""Damages a file as disks, crashes and second writers do, and keeps account of every byte.

A :class:`Mutant` knows of each of its bytes where in the good file it comes from, -1 if from
nowhere: whatever is cut, moved or copied, what is still whole can be told from that.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.formats.crc import masked
from tests.fuzz.files import Good, Ints

Bytes = NDArray[np.uint8]


@dataclass(eq=False)
class Mutant:
    """A damaged file."""

    data: Bytes
    origin: Ints

    def __len__(self) -> int:
        return len(self.data)

    def cut(self, a: int, b: int) -> Mutant:
        """A part of it."""
        return Mutant(self.data[a:b], self.origin[a:b])

    def overwrite(self, at: int, new: bytes) -> Mutant:
        """Other bytes from ``at`` on; those that happen to be the same stay what they were."""
        new = new[: len(self) - at]
        data, origin = self.data.copy(), self.origin.copy()
        data[at : at + len(new)] = np.frombuffer(new, np.uint8)
        origin[data != self.data] = -1
        return Mutant(data, origin)


def whole(good: Good) -> Mutant:
    """No damage yet."""
    return Mutant(np.frombuffer(good.data, np.uint8), np.arange(len(good.data)))


def join(*parts: Mutant) -> Mutant:
    return Mutant(
        np.concatenate([part.data for part in parts]),
        np.concatenate([part.origin for part in parts]),
    )


def foreign(data: bytes) -> Mutant:
    """Bytes that come from nowhere."""
    return Mutant(np.frombuffer(data, np.uint8), np.full(len(data), -1))


class Vandal:
    """Chooses places and sizes; each of its methods is one kind of damage."""

    def __init__(self, chance: random.Random, good: Good) -> None:
        self.chance = chance
        self._starts = np.zeros(len(good.data) + 1, bool)
        self._starts[good.bounds] = True

    def place(self, mutant: Mutant) -> int:
        """Anywhere, or at one of the bytes of a record's frame."""
        if self.chance.random() < 0.5:
            starts = np.flatnonzero(self._starts[mutant.origin] & (mutant.origin >= 0))
            if len(starts):
                at = int(starts[self.chance.randrange(len(starts))])
                return min(max(at + self.chance.randrange(-6, 14), 0), len(mutant))
        return self.chance.randrange(len(mutant) + 1)

    def boundary(self, mutant: Mutant) -> int:
        """Where a record begins, or the end."""
        starts = np.flatnonzero(self._starts[mutant.origin] & (mutant.origin >= 0))
        which = self.chance.randrange(len(starts) + 1)
        return int(starts[which]) if which < len(starts) else len(mutant)

    def size(self, most: int) -> int:
        """Small ones as often as large ones."""
        return min(most, int(2 ** (self.chance.random() * max(1, most).bit_length())))

    def part(self, mutant: Mutant) -> tuple[int, int]:
        a = self.place(mutant)
        return a, min(len(mutant), a + self.size(len(mutant) // 2))

    # --- kinds of damage ----------------------------------------------------------------

    def flip(self, mutant: Mutant) -> Mutant:
        """Some bits, anywhere."""
        for _ in range(self.chance.randrange(1, 6)):
            at = min(self.place(mutant), len(mutant) - 1)
            byte = int(mutant.data[at]) ^ 1 << self.chance.randrange(8)
            mutant = mutant.overwrite(at, bytes([byte]))
        return mutant

    def scribble(self, mutant: Mutant) -> Mutant:
        """Noise over what was there."""
        at = self.place(mutant)
        return mutant.overwrite(at, self.chance.randbytes(self.size(200)))

    def zero(self, mutant: Mutant) -> Mutant:
        """Blocks that never got to the disk."""
        a, b = self.part(mutant)
        return mutant.overwrite(a, bytes(b - a))

    def remove(self, mutant: Mutant) -> Mutant:
        """Bytes are missing."""
        a, b = self.part(mutant)
        return join(mutant.cut(0, a), mutant.cut(b, len(mutant)))

    def tear(self, mutant: Mutant) -> Mutant:
        """A record is cut off, and the writer goes on with a new one."""
        b = self.boundary(mutant)
        a = max(0, b - self.chance.randrange(1, 60))
        return join(mutant.cut(0, a), mutant.cut(b, len(mutant)))

    def truncate(self, mutant: Mutant) -> Mutant:
        """The end is missing."""
        return mutant.cut(0, max(1, len(mutant) - self.size(len(mutant) // 2)))

    def truncate_and_continue(self, mutant: Mutant) -> Mutant:
        """The end is missing, and records from elsewhere follow."""
        begin = self.boundary(mutant)
        return join(self.truncate(mutant), mutant.cut(begin, begin + self.size(3000)))

    def duplicate(self, mutant: Mutant) -> Mutant:
        """A block stands there twice, once after the other."""
        a, b = self.part(mutant)
        return join(mutant.cut(0, b), mutant.cut(a, len(mutant)))

    def splice(self, mutant: Mutant) -> Mutant:
        """A copy of a block in the midst of something else."""
        a, b = self.part(mutant)
        at = self.place(mutant)
        return join(mutant.cut(0, at), mutant.cut(a, b), mutant.cut(at, len(mutant)))

    def swap(self, mutant: Mutant) -> Mutant:
        """Two neighbouring blocks change places."""
        a, b, c = sorted(self.place(mutant) for _ in range(3))
        end = mutant.cut(c, len(mutant))
        return join(mutant.cut(0, a), mutant.cut(b, c), mutant.cut(a, b), end)

    def insert(self, mutant: Mutant) -> Mutant:
        """Noise, zeros, or numbers that look like lengths."""
        size, kind = self.size(3000), self.chance.randrange(3)
        if kind == 2:
            garbage = b"".join(
                self.chance.randrange(5000).to_bytes(8, "little") for _ in range(size // 8 + 1)
            )
        else:
            garbage = self.chance.randbytes(size) if kind else bytes(size)
        return self._put(mutant, garbage)

    def promise(self, mutant: Mutant) -> Mutant:
        """A header of a record that does not come, however long it says that it is."""
        length = self.chance.choice((0, 1, 40, 1000, len(mutant), 1 << 20, 1 << 30, (1 << 64) - 1))
        claimed = length.to_bytes(8, "little")
        return self._put(mutant, claimed + masked(claimed).to_bytes(4, "little"))

    def interleave(self, mutant: Mutant) -> Mutant:
        """Two processes wrote one file, each its half, cut anywhere."""
        middle = self.boundary(mutant)
        halves = [mutant.cut(0, middle), mutant.cut(middle, len(mutant))]
        parts: list[Mutant] = []
        for _ in range(self.chance.randrange(1, 12)):
            half = self.chance.randrange(2)
            at = self.boundary(halves[half]) if self.chance.random() < 0.5 else None
            at = self.place(halves[half]) if at is None else at
            parts.append(halves[half].cut(0, at))
            halves[half] = halves[half].cut(at, len(halves[half]))
        return join(*parts, *halves)

    def _put(self, mutant: Mutant, garbage: bytes) -> Mutant:
        at = self.place(mutant)
        return join(mutant.cut(0, at), foreign(garbage), mutant.cut(at, len(mutant)))


KINDS: tuple[Callable[[Vandal, Mutant], Mutant], ...] = (
    Vandal.flip,
    Vandal.scribble,
    Vandal.zero,
    Vandal.remove,
    Vandal.tear,
    Vandal.truncate,
    Vandal.truncate_and_continue,
    Vandal.duplicate,
    Vandal.splice,
    Vandal.swap,
    Vandal.insert,
    Vandal.promise,
    Vandal.interleave,
)


def damaged(chance: random.Random, good: Good) -> tuple[Mutant, list[str]]:
    """A file with up to six kinds of damage, one upon the other; and which they were."""
    vandal, mutant, done = Vandal(chance, good), whole(good), list[str]()
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 4, 6))):
        if len(mutant):
            kind = chance.choice(KINDS)
            mutant = kind(vandal, mutant)
            done.append(kind.__name__)
    return mutant, done
