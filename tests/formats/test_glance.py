"""A glance passes over what is of no interest, and over nothing else."""

from __future__ import annotations

import math
import re
import struct
import sys
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.formats import wire
from monitor.formats.event import EventDecoder
from monitor.formats.glance import MAX_COUNTED, MAX_TEMPLATES, SETTLED, Glance, _float, _tree
from monitor.formats.tfrecord import encode
from monitor.points import ALL, FINITE, NOTHING, WHATEVER, Quiet

ANY_FINITE = Quiet((FINITE,), sys.maxsize)


def value_of(tag: str, number: float) -> bytes:
    return wire.field_bytes(1, tag.encode()) + b"\x15" + struct.pack("<f", number)


def record(tag: str, step: int, number: float, wall: float = 1.7e9) -> bytes:
    """As torch's writer does it; a step of 0 is left out."""
    told = wire.field_varint(2, step) if step else b""
    summary = wire.field_bytes(5, wire.field_bytes(1, value_of(tag, number)))
    return encode(wire.field_double(1, wall) + told + summary)


def see(decoder: EventDecoder, tags: Iterable[str]) -> None:
    decoder.decode([record(tag, 1, 1.0)[12:-4] for tag in tags])


HISTOGRAM = encode(
    wire.field_double(1, 1.0)
    + wire.field_bytes(5, wire.field_bytes(1, wire.field_bytes(1, b"h") + b"\x2a\x02\x08\x01"))
)


def glance_at(series: Mapping[str, Quiet]) -> Glance:
    """After each tag has been seen once."""
    decoder = EventDecoder("run", "writer")
    see(decoder, series)
    found = decoder.glance(lambda tag: series[tag])
    assert found is not None
    return found


STEPS = st.one_of(st.integers(0, 300), st.integers(0, 1 << 62), st.integers(-(1 << 62), -1))
DOUBLES = st.floats(allow_nan=True)


@given(st.lists(st.tuples(st.sampled_from("ab"), STEPS, st.floats(width=32), DOUBLES)), st.data())
def test_it_stops_at_the_first_value_of_interest(
    rows: list[tuple[str, int, float, float]], data: st.DataObject
) -> None:
    glance = glance_at({"a": ANY_FINITE, "b": WHATEVER})
    records = [record(tag, step, number, wall) for tag, step, number, wall in rows]
    whole = b"".join(records)
    cut = data.draw(st.integers(0, len(records[-1]) - 1 if records else 0))
    shown = whole[: len(whole) - cut]
    seen = rows[:-1] if cut else rows
    if any(tag == "a" and not math.isfinite(number) for tag, _, number, _ in seen):
        assert glance.over(shown) is None
    else:
        assert glance.over(shown) == sum(map(len, records[: len(seen)]))


@pytest.mark.parametrize(
    "loud",
    [
        record("a", 7, math.nan),
        record("a", 7, -math.inf),
        record("unknown", 7, 1.0),
        record("aa", 7, 1.0),
        HISTOGRAM,
        encode(b""),
        encode(wire.field_double(1, 1.0) + wire.field_bytes(3, b"brain.Event:2")),
        bytes(64),
    ],
)
def test_what_is_not_known_to_be_of_no_interest_is_not_passed_over(loud: bytes) -> None:
    glance = glance_at({"a": ANY_FINITE})
    before = record("a", 6, 1.0)
    assert glance.over(before + loud + before) is None
    assert glance.over(before) == len(before)


def test_a_series_of_which_everything_is_of_interest() -> None:
    glance = glance_at({"a": NOTHING, "b": WHATEVER})
    assert glance.over(record("b", 1, math.nan)) == len(record("b", 1, 1.0))
    assert glance.over(record("a", 1, 1.0)) is None


def test_points_are_counted_over_several_glances_until_a_curve_is_judged() -> None:
    glance = glance_at({"a": Quiet((FINITE,), 5), "b": WHATEVER})
    two = record("a", 1, 1.0) + record("b", 1, 1.0) + record("a", 2, 1.0)
    assert [glance.over(two) for _ in range(3)] == [len(two), len(two), None]


@pytest.mark.parametrize("tags", [0, MAX_TEMPLATES + 1, MAX_COUNTED + 1])
def test_where_it_would_not_pay_there_is_none(tags: int) -> None:
    decoder = EventDecoder("run", "writer")
    see(decoder, [f"t{i}" for i in range(tags)])
    quiet = WHATEVER if tags > MAX_TEMPLATES else Quiet((FINITE,), 100)
    assert decoder.glance(lambda _: quiet) is None


def test_another_expression_is_not_made_at_every_read() -> None:
    decoder = EventDecoder("run", "writer")
    see(decoder, ["a"])
    assert decoder.glance(lambda _: WHATEVER) is not None
    see(decoder, ["b"])
    assert decoder.glance(lambda _: WHATEVER) is None
    see(decoder, ["b"] * SETTLED)
    assert decoder.glance(lambda _: WHATEVER) is not None
    assert decoder.glance(lambda _: ANY_FINITE) is None


RANGES = st.lists(
    st.tuples(DOUBLES, DOUBLES).filter(lambda pair: pair[0] <= pair[1]), max_size=3
).map(tuple)


@settings(max_examples=300)
@given(RANGES, st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_four_bytes_that_match_are_in_a_range(
    ranges: tuple[tuple[float, float], ...], values: list[float]
) -> None:
    pattern = re.compile(_float(ranges), re.DOTALL)
    ends = [v for pair in ranges for v in pair if abs(v) < 3e38]
    near = [float(w) for v in ends for w in (np.float32(v), np.nextafter(np.float32(v), np.inf))]
    for value in values + near:
        matched = pattern.fullmatch(struct.pack("<f", value)) is not None
        inside = any(low <= value <= high for low, high in ranges) or ALL in ranges
        clearly = inside and any(
            low + abs(value) / 64 <= value <= high - abs(value) / 64 for low, high in ranges
        )
        assert not matched or inside
        if clearly and math.isfinite(value) and abs(value) > 1e-30:
            assert matched


@given(st.sets(st.binary(max_size=6), min_size=1, max_size=40), st.binary(max_size=6))
def test_a_tree_of_literals_matches_these_literals(literals: set[bytes], other: bytes) -> None:
    pattern = re.compile(b"(?s:%b)" % _tree([(literal, b"!") for literal in sorted(literals)]))
    for literal in literals | {other}:
        assert (pattern.fullmatch(literal + b"!") is not None) == (literal in literals)


def test_a_tree_is_not_deeper_than_parsers_bear() -> None:
    literals = [b"a" * i + b"b" for i in range(MAX_TEMPLATES)]
    pattern = re.compile(_tree([(literal, b"") for literal in sorted(literals)]))
    assert all(pattern.fullmatch(literal) for literal in literals)


@given(st.lists(st.binary(max_size=40) | st.just(record("a", 3, 1.0)), max_size=8).map(b"".join))
def test_bytes_of_any_kind_do_it_no_harm(data: bytes) -> None:
    passed = glance_at({"a": ANY_FINITE}).over(data)
    assert passed is None or (0 <= passed <= len(data) and len(data) - passed < 1 << 62)
