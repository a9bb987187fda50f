"""Framing: whole, cut anywhere, with every bit flipped, torn, overwritten with noise."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.formats.tfrecord import MAX_GARBAGE, Corruption, RecordReader, encode

Found = list[bytes | Corruption]

payloads = st.lists(st.binary(max_size=40), max_size=8)


def read(pieces: Iterable[bytes], final: bool = False) -> Found:
    """What a reader makes of ``pieces``."""
    reader, found = RecordReader(), Found()
    for piece in pieces:
        found += reader.feed(piece)
    return found + reader.feed(b"", final) if final else found


def good(found: Found) -> list[bytes]:
    return [item for item in found if isinstance(item, bytes)]


def offsets(found: Found) -> list[int]:
    return [item.offset for item in found if isinstance(item, Corruption)]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


FILE = [b"one", b"", b"three " * 30, bytes(50), b"five"]
DATA = b"".join(map(encode, FILE))


def test_a_record_on_disk() -> None:
    assert encode(b"a").hex() == "01000000000000000175de4161786ee428"


def test_framing_equals_tensorboards() -> None:
    pytest.importorskip("tensorboard")
    import io

    from tensorboard.summary.writer.record_writer import RecordWriter

    stream = io.BytesIO()
    stream.close = lambda: None  # type: ignore[method-assign]
    writer = RecordWriter(stream)
    for payload in FILE:
        writer.write(payload)
    assert stream.getvalue() == DATA


@settings(deadline=None)
@given(payloads, st.data())
def test_round_trip_cut_anywhere(records: list[bytes], data: st.DataObject) -> None:
    file = b"".join(map(encode, records))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(file)), max_size=6)))
    pieces = [file[a:b] for a, b in zip([0, *cuts], [*cuts, len(file)], strict=True)]
    assert read(pieces) == records
    assert read(byte_by_byte(file), final=True) == records


@pytest.mark.parametrize("cut", range(len(DATA)))
def test_a_torn_tail_waits(cut: int) -> None:
    reader = RecordReader()
    before = reader.feed(DATA[:cut])
    assert not offsets(before)
    assert not reader.doubtful
    assert before + reader.feed(DATA[cut:]) == FILE


@pytest.mark.parametrize("cut", range(len(DATA)))
def test_what_is_dropped_is_read_again_from_the_offset(cut: int) -> None:
    reader = RecordReader()
    found = reader.feed(DATA[:cut])
    reader.forget()
    assert found + reader.feed(DATA[reader.offset :]) == FILE


def test_every_flipped_bit_costs_one_record() -> None:
    begins = [len(b"".join(map(encode, FILE[:i]))) for i in range(len(FILE))]
    for bit in range(8 * len(DATA)):
        broken = bytearray(DATA)
        broken[bit // 8] ^= 1 << bit % 8
        which = max(i for i, begin in enumerate(begins) if begin <= bit // 8)
        rest = [record for i, record in enumerate(FILE) if i != which]
        found = read([bytes(broken)], final=True)
        assert good(found) == rest, bit
        if which < len(FILE) - 1 or offsets(found):
            assert offsets(found) == [begins[which]], bit


def test_a_flipped_bit_is_found_however_the_bytes_come() -> None:
    for position in (0, 9, 13, 22, 40, 100):
        broken = bytearray(DATA)
        broken[position] ^= 0x10
        assert read(byte_by_byte(bytes(broken))) == read([bytes(broken)])


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), payloads.filter(bool), st.data())
def test_a_torn_record_and_then_the_writer_goes_on(
    torn: bytes, records: list[bytes], data: st.DataObject
) -> None:
    part = data.draw(st.integers(1, len(torn) + 15))
    file = encode(b"before") + encode(torn)[:part] + b"".join(map(encode, records))
    found = read([file])
    assert good(found) == [b"before", *records]
    assert offsets(found) == [22]
    assert read(byte_by_byte(file)) == found


def test_a_torn_record_that_claims_more_than_there_is_does_not_block() -> None:
    reader = RecordReader()
    assert reader.feed(encode(bytes(10_000_000))[:100]) == []
    found = reader.feed(encode(b"next"))
    assert found == [Corruption(0, "torn record"), b"next"]


def test_a_zero_filled_tail_then_data() -> None:
    reader = RecordReader()
    assert reader.feed(encode(b"a") + bytes(5000)) == [b"a"]
    assert reader.doubtful
    assert reader.feed(bytes(3000)) == []
    found = reader.feed(encode(b"b") + encode(b"c"))
    assert found == [Corruption(17, "length checksum mismatch"), b"b", b"c"]
    assert not reader.doubtful


def test_bad_bytes_at_the_end_wait_until_final() -> None:
    broken = bytearray(encode(b"value"))
    broken[13] ^= 1
    reader = RecordReader()
    assert (reader.feed(bytes(broken)), reader.doubtful) == ([], True)
    assert (reader.feed(b""), reader.doubtful) == ([], True)
    corrupt = Corruption(0, "payload checksum mismatch")
    assert (reader.feed(b"", final=True), reader.doubtful) == ([corrupt], False)
    assert reader.feed(b"", final=True) == []
    assert reader.feed(encode(b"next")) == [b"next"]


def test_bad_bytes_that_turn_out_good_when_read_again() -> None:
    record = encode(b"late")
    reader = RecordReader()
    assert reader.feed(encode(b"a") + bytes(len(record))) == [b"a"]
    assert reader.doubtful
    reader.forget()
    assert reader.offset == 17
    assert reader.feed(record) == [b"late"]
    assert not reader.doubtful


def test_after_final_the_end_of_a_record_may_still_come() -> None:
    record = encode(b"x" * 100)
    reader = RecordReader()
    assert offsets(reader.feed(b"\xff" * 50 + record[:60], final=True)) == [0]
    reader.forget()
    assert reader.feed((b"\xff" * 50 + record)[reader.offset :]) == [b"x" * 100]


@pytest.mark.parametrize("kind", ["noise", "zeros", "integers"])
def test_a_megabyte_of_garbage_is_passed_quickly(kind: str) -> None:
    size = 1 << 20
    garbage = {
        "noise": random.Random(1).randbytes(size),
        "zeros": bytes(size),
        "integers": b"".join(n.to_bytes(8, "little") for n in range(size // 8)),
    }[kind]
    begin = time.process_time()
    assert good(read([encode(b"a"), garbage, encode(b"b")])) == [b"a", b"b"]
    assert time.process_time() - begin < (5 if kind == "integers" else 0.5)


def test_memory_stays_bounded_in_endless_garbage() -> None:
    noise = random.Random(2).randbytes(1 << 18)
    reader, found = RecordReader(), Found()
    for _ in range(40):
        found += reader.feed(noise)
    assert found == [Corruption(0, "length checksum mismatch")]
    assert len(reader._buffer) <= MAX_GARBAGE
    assert reader.feed(encode(b"end")) == [b"end"]


def test_a_record_over_the_limit_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.formats.tfrecord.MAX_RECORD", 1000)
    found = read([encode(b"a") + encode(b"x" * 1001) + encode(b"b")])
    assert good(found) == [b"a", b"b"]
    assert offsets(found) == [17]


@settings(max_examples=300, deadline=None)
@given(payloads, st.data())
def test_no_corruption_delivers_a_payload_that_was_not_written(
    records: list[bytes], data: st.DataObject
) -> None:
    file = bytearray(b"".join(map(encode, records)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(file)))
        junk = data.draw(st.binary(max_size=20))
        file[at : at + data.draw(st.integers(0, 30))] = junk
    found = good(read([bytes(file)], final=True))
    remaining = iter(records)
    assert all(item in remaining for item in found)


@settings(max_examples=200, deadline=None)
@given(payloads, st.data())
def test_corrupt_files_too_read_the_same_however_cut(
    records: list[bytes], data: st.DataObject
) -> None:
    file = bytearray(b"".join(map(encode, records)) + encode(b"last"))
    at = data.draw(st.integers(0, len(file) - 20))
    file[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=20))
    whole = read([bytes(file)], final=True)
    assert read(byte_by_byte(bytes(file)), final=True) == whole
