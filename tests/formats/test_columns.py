"""Many events at once: the same columns as one by one, for whatever events there are."""

from __future__ import annotations

import math
import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.formats import wire
from monitor.formats.bulk import Block, split
from monitor.formats.columns import NONE, Templates, fields, silent
from monitor.formats.event import EventDecoder
from monitor.formats.proto import holds_no_scalar
from monitor.formats.tfrecord import encode
from monitor.points import Batch


def value(tag: bytes, number: float) -> bytes:
    return wire.field_bytes(1, tag) + b"\x15" + struct.pack("<f", number)


def event(step: int | None, *values: bytes, wall: float = 1e9) -> bytes:
    """As writers write it; without a step where it is None."""
    head = wire.field_double(1, wall) + (b"" if step is None else wire.field_varint(2, step))
    return head + wire.field_bytes(5, b"".join(wire.field_bytes(1, v) for v in values))


def block(*payloads: bytes) -> Block:
    found = split(b"".join(map(encode, payloads)), 0)
    assert found is not None
    return found


def holder(tag: bytes, field: int, size: int) -> bytes:
    """A value of another kind: a histogram is field 5."""
    return wire.field_bytes(1, tag) + wire.field_bytes(field, bytes(size))


Row = tuple[int, bytes, bytes, bytes]


def rows(batches: list[Batch]) -> dict[str, list[Row]]:
    """Per tag: step, and bit by bit (NaN equals nothing) wall time, clock and value."""
    found: dict[str, list[Row]] = {}
    for points in (points for batch in batches for points in batch.points):
        columns = (points.wall_times, points.clock, points.values)
        bits = [[struct.pack("<d", x) for x in column] for column in columns]
        steps = [int(step) for step in points.steps]
        found.setdefault(points.key.tag, []).extend(zip(steps, *bits, strict=True))
    return found


def heard(batches: list[Batch]) -> list[tuple[int, float]]:
    pairs = [zip(b.events.steps, b.events.clock, strict=True) for b in batches]
    return [(int(step), float(clock)) for pair in pairs for step, clock in pair]


TAGS = [b"loss", b"l", b"train/loss", b"x" * 24, b"x" * 25, b"x" * 56, b"y" * 120, b"z" * 240]
TAGS += [b"a tag longer than any row " * 10, "größe".encode(), b"\xff bad utf-8"]
STEPS = [None, 0, 1, 127, 128, 16_383, 16_384, 2**21, 2**35, 2**49 - 1, 2**49, 2**62, -1, -(2**40)]
NUMBERS = [0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 1e-42]
WALLS = [1e9, 0.0, math.nan, math.inf, -math.inf, -5.0, 1e9 + 0.1]

values = st.builds(value, st.sampled_from(TAGS), st.sampled_from(NUMBERS))
scalars = st.builds(
    lambda step, one, wall: event(step, one, wall=wall),
    st.sampled_from(STEPS),
    values,
    st.sampled_from(WALLS),
)
others = st.one_of(
    st.builds(lambda v: event(3, *v), st.lists(values, max_size=3)),
    st.binary(min_size=4, max_size=60),
    st.just(wire.field_double(1, 5.0) + wire.field_bytes(3, b"brain.Event:2")),
    # Tags whose plugin is named late, and is no scalar: what was taken for one is none any more.
    st.builds(
        lambda tag: event(
            1,
            wire.field_bytes(1, tag)
            + wire.field_bytes(8, wire.field_varint(1, 1) + wire.field_bytes(4, b"abcd"))
            + wire.field_bytes(9, wire.field_bytes(1, wire.field_bytes(1, b"text"))),
        ),
        st.sampled_from(TAGS[:2]),
    ),
    st.builds(
        lambda tag: event(
            2,
            wire.field_bytes(1, tag)
            + wire.field_bytes(8, wire.field_varint(1, 1) + wire.field_bytes(4, b"abcd")),
        ),
        st.sampled_from(TAGS[:2]),
    ),
    st.just(wire.field_double(1, 2e9) + wire.field_bytes(7, wire.field_varint(1, 2))),
    st.builds(
        lambda step, tag, field, size: event(step, holder(tag, field, size)),
        st.sampled_from(STEPS),
        st.sampled_from(TAGS),
        st.sampled_from([3, 4, 5, 6, 7, 8]),
        st.sampled_from([0, 1, 100, 127, 128, 600]),
    ),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(scalars, scalars, scalars, others), min_size=1, max_size=120), st.data())
def test_many_at_once_are_the_same_as_one_by_one(
    payloads: list[bytes], data: st.DataObject
) -> None:
    few, many = EventDecoder("run", "file"), EventDecoder("run", "file")
    one_by_one = [few.decode(payloads)]
    cut = data.draw(st.integers(0, len(payloads) - 1))
    parts = [part for part in (payloads[:cut], payloads[cut:]) if part]
    at_once = [many.decode_block(block(*part)) for part in parts]
    assert rows(at_once) == rows(one_by_one)
    assert heard(at_once) == heard(one_by_one)
    assert at_once[-1].ended == one_by_one[-1].ended
    assert many.unusable == few.unusable


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_of_many_the_same_are_silent_as_one_by_one(data: st.DataObject) -> None:
    payloads = [b"the first record of a file says nothing"]
    for _ in range(data.draw(st.integers(1, 20))):
        one = holder(data.draw(st.sampled_from(TAGS)), 5, data.draw(st.sampled_from([0, 90, 300])))
        payload = bytearray(event(data.draw(st.sampled_from([None, 7, 300])), one))
        if data.draw(st.booleans()):  # Its head stays what it is.
            payload[data.draw(st.integers(13, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
        payloads.append(bytes(payload))
    whole = block(*payloads)
    heads = fields(whole).heads
    one_by_one = [
        bool(head) and holds_no_scalar(payload, int(head))
        for head, payload in zip(heads, payloads, strict=True)
    ]
    found = silent(whole, np.arange(len(whole)), heads).tolist()
    # The last bytes of a file are too near to its end for a look at all at once.
    assert found[:-1] == one_by_one[:-1]
    assert one_by_one[-1] or not found[-1]


def test_fields_of_one_scalar_each() -> None:
    steps = [0, 1, 127, 128, 16_384, 2**48]
    one = value(b"a long enough tag", 1.0)
    found = fields(block(*(event(step or None, one) for step in steps)))
    assert found.steps.tolist() == steps
    assert (found.walls == 1e9).all()
    assert len(set(found.templates.tolist())) == 1


def test_templates_tell_tags_apart_that_differ_in_one_byte_anywhere() -> None:
    tag = b"a/rather/long/tag/of/some/network/or/other"
    tags = [tag[:i] + b"_" + tag[i + 1 :] for i in range(len(tag))]
    payloads = [event(i, value(tag, 1.0)) for i, tag in enumerate(tags)]
    whole = block(event(5, value(b"some other tag that comes first", 0.0)), *payloads)
    lengths = fields(whole).templates
    templates = Templates()
    for i in range(0, len(whole), 2):
        payload = whole.payload(i)
        templates.learn(payload[len(payload) - 4 - lengths[i] : -4], i)
    found = templates.find(whole, np.arange(len(whole)), lengths)
    assert found.tolist() == [NONE if i % 2 else i for i in range(len(whole))]


def test_thousands_of_tags() -> None:
    payloads = [event(1, value(b"group/metric_%d" % i, i)) for i in range(3000)]
    decoder = EventDecoder("run", "file")
    for _ in range(2):
        batch = decoder.decode_block(block(*payloads))
        assert len(batch.columns) == 3000
        for column in batch.columns:
            assert column.key.tag == f"group/metric_{int(column.last)}"
