"""Event files to read for benchmarks: made quickly, and the same each time.

Wall times, steps and values differ from event to event as in real files, so that nothing is
gained by remembering whole records. Three kinds:

``periodic``   20 tags, the same in each step
``irregular``  10 train tags in each step, eval tags every 50 steps, now and then one of 30 extra
               tags, histograms every 100 steps
``random``     300 tags in random order
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from monitor.formats import wire
from monitor.formats.tfrecord import encode

_BEGIN = 1.7e9
_HEAD = struct.Struct("<BdB")
_FLOAT = struct.Struct("<f")
_LENGTH = struct.Struct("<Q")
_FRAME = 16  # length, its CRC and the payload's

TRAIN = ["train/loss", "train/accuracy", "train/grad_norm", "train/lr", "train/kl"]
EVAL = ["eval/loss", "eval/accuracy", "eval/perplexity", "eval/f1", "eval/seconds"]


def series(tag: str) -> Callable[[float, int, float], bytes]:
    """Makes the records of one tag: wall time, step and value in, as torch's writer does it."""
    name = wire.field_bytes(1, tag.encode()) + b"\x15"
    inside = wire.varint(len(name) + 4)
    between = b"\x2a" + wire.varint(1 + len(inside) + len(name) + 4) + b"\x0a" + inside + name

    def record(wall: float, step: int, value: float) -> bytes:
        head = _HEAD.pack(0x09, wall, 0x10) + wire.varint(step)
        return encode(head + between + _FLOAT.pack(value))

    return record


def _value(chance: random.Random, step: int) -> float:
    """Something that falls as a loss does, with noise: no rule has anything to say."""
    return math.pow(1 + step / 100, -0.3) + 0.02 * chance.random()


def _names(begin: list[str], count: int) -> list[str]:
    return [*begin, *(f"metrics/m{i:03d}" for i in range(count - len(begin)))]


def periodic(chance: random.Random) -> Iterator[bytes]:
    """20 tags x steps, for ever."""
    makers = [series(tag) for tag in _names(TRAIN, 20)]
    step = 0
    while True:
        for i, make in enumerate(makers):
            yield make(_BEGIN + 0.1 * step + 1e-4 * i, step, _value(chance, step))
        step += 1


def irregular(chance: random.Random) -> Iterator[bytes]:
    """Training with evaluations, extras and histograms, for ever."""
    train = [series(tag) for tag in _names(TRAIN, 10)]
    evaluation = [series(tag) for tag in EVAL]
    extras = [series(f"extra/{i}") for i in range(30)]
    step = 0
    while True:
        makers = list(train)
        if step % 50 == 49:
            makers += evaluation
        if chance.random() < 0.1:
            makers.insert(chance.randrange(len(makers)), chance.choice(extras))
        wall = _BEGIN + 0.1 * step
        for i, make in enumerate(makers):
            yield make(wall + 1e-4 * i, step, _value(chance, step))
        if step % 100 == 99:
            for layer in range(10):
                yield _histogram(chance, f"weights/{layer}", wall, step)
        step += 1


def shuffled(chance: random.Random) -> Iterator[bytes]:
    """300 tags in random order, for ever; no tag has a step twice."""
    makers = [series(tag) for tag in _names(TRAIN + EVAL, 300)]
    step = 0
    while True:
        yield chance.choice(makers)(_BEGIN + 1e-3 * step, step, _value(chance, step))
        step += 1


def _histogram(chance: random.Random, tag: str, wall: float, step: int) -> bytes:
    """A histogram of 30 buckets, fields as TensorBoard's protos write them."""
    limits = struct.pack("<30d", *(0.1 * i for i in range(30)))
    counts = struct.pack("<30d", *(chance.randrange(1000) for _ in range(30)))
    histogram = b"".join(wire.field_double(i, chance.random()) for i in range(1, 6))
    histogram += wire.field_bytes(6, limits) + wire.field_bytes(7, counts)
    value = wire.field_bytes(1, tag.encode()) + wire.field_bytes(5, histogram)
    summary = wire.field_bytes(5, wire.field_bytes(1, value))
    return encode(wire.field_double(1, wall) + wire.field_varint(2, step) + summary)


KINDS = {"periodic": periodic, "irregular": irregular, "random": shuffled}


def write(path: Path, kind: str, events: int, seed: int = 0) -> None:
    """An event file of that kind with so many events, the version record among them."""
    version = encode(wire.field_double(1, _BEGIN) + wire.field_bytes(3, b"brain.Event:2"))
    path.parent.mkdir(parents=True, exist_ok=True)
    records = KINDS[kind](random.Random(seed))
    with path.open("wb") as file:
        file.write(version)
        while chunk := b"".join(islice(records, min(10_000, events - 1))):
            file.write(chunk)
            events -= min(10_000, events - 1)


def beginning(path: Path, events: int) -> tuple[bytes, int]:
    """The first ``events`` records of a file, or all if there are fewer, and how many they are.

    The lengths are believed: a damaged file is cut at its damage.
    """
    data, at, count = path.read_bytes(), 0, 0
    while count < events and at + _FRAME <= len(data):
        after = at + _FRAME + _LENGTH.unpack_from(data, at)[0]
        if after > len(data):
            break
        at, count = after, count + 1
    return data[:at], count
