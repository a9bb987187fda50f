"""Many records at once: the same records as one by one, and no damage goes unseen."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.formats import bulk
from monitor.formats.bulk import split
from monitor.formats.tfrecord import encode

SIZES = [4, 5, 30, 30, 31, 200, 255, 256, 257, 511, 512, 700, 65_535, 65_536, 70_000]


def file(sizes: list[int], seed: int = 0) -> tuple[bytes, list[bytes]]:
    rng = random.Random(seed)
    payloads = [rng.randbytes(size) for size in sizes]
    return b"".join(map(encode, payloads)), payloads


def payloads_of(data: bytes, at: int = 0) -> list[bytes] | None:
    block = split(data, at)
    return None if block is None else [block.payload(i) for i in range(len(block))]


@settings(deadline=None)
@given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=30), st.integers(0, 40))
def test_every_record_wherever_words_begin(sizes: list[int], shift: int) -> None:
    data, payloads = file(sizes)
    found = split(bytes(shift) + data, shift)
    assert found is not None
    assert [found.payload(i) for i in range(len(found))] == payloads
    assert found.after == shift + len(data)


def test_payloads_full_of_zeros_and_of_records() -> None:
    inner = encode(b"inner record")
    payloads = [bytes(100), inner, b"ab" + bytes(50) + inner * 5, inner[:-1] * 3, b"last"]
    assert payloads_of(b"".join(map(encode, payloads))) == payloads


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_record_that_is_not_complete_is_left_over(cut: int) -> None:
    data, payloads = file([30, 44, 300, 44])
    whole = split(data[:-cut], 0)
    assert whole is not None
    assert [whole.payload(i) for i in range(len(whole))] == payloads[:3]


def test_up_to_a_header_that_is_not_good() -> None:
    data, payloads = file([30, 40, 50, 60])
    at = 16 * 2 + 70
    broken = data[:at] + b"\xff" + data[at + 1 :]
    assert payloads_of(broken) == payloads[:2]


@pytest.mark.parametrize("bit", range(8 * (len(file([30, 300, 9])[0]))))
def test_a_flipped_bit_anywhere(bit: int) -> None:
    data, payloads = file([30, 300, 9])
    broken = bytearray(data)
    broken[bit // 8] ^= 1 << bit % 8
    found = payloads_of(bytes(broken))
    assert found is None or found == payloads[: len(found)]
    assert found is None or len(found) < len(payloads)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_in_several_records(data: st.DataObject) -> None:
    whole, payloads = file([30] * 20, seed=data.draw(st.integers(0, 5)))
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    found = payloads_of(bytes(broken))
    if bytes(broken) != whole:
        assert found is None or found == payloads[: len(found)]


def test_the_same_damage_twice_does_not_cancel() -> None:
    data, _ = file([30] * 40)
    for distance in range(1, 39):
        broken = bytearray(data)
        broken[20] ^= 0x40
        broken[20 + 46 * distance] ^= 0x40
        assert payloads_of(bytes(broken)) is None


@pytest.mark.parametrize("record", [0, 700, 1200, 3500, 3999])
def test_damage_in_any_of_the_pieces_that_are_summed(record: int) -> None:
    data, payloads = file([30] * 4000)
    assert payloads_of(data) == payloads
    broken = bytearray(data)
    broken[46 * record + 20] ^= 1
    assert payloads_of(bytes(broken)) is None


def test_long_records_in_a_row() -> None:
    """Of a length of two bytes there need not be a zero word, and four in a row may lack one."""
    data, payloads = file([30, *[600] * 40, 30, *[70_000] * 3, 601, 603, 30])
    assert payloads_of(data) == payloads


def test_records_of_less_than_four_bytes_are_left_to_the_caller() -> None:
    assert payloads_of(encode(b"long enough") + encode(b"abc") + encode(b"long enough")) is None


@pytest.mark.parametrize("data", [b"", b"abc", bytes(1000), b"\xff" * 1000])
def test_no_records(data: bytes) -> None:
    assert split(data, 0) is None


def test_header_checksums_of_all_short_lengths() -> None:
    table = bulk._header_crcs()
    for length in (0, 1, 255, 256, 40_000, 65_535):
        header = encode(bytes(length))[:12]
        assert int(table[length]) == int.from_bytes(header[8:], "little")
    assert len(np.unique(table)) == 1 << 16
