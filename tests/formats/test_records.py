"""Framing: whole, cut anywhere, with every bit flipped, torn, overwritten with noise."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from monitor.formats import bulk
from monitor.formats.records import MAX_GARBAGE, Corruption, RecordReader
from monitor.formats.tfrecord import encode

Found = list[bytes | Corruption]


@pytest.fixture(params=[bulk.LEAST_BYTES, 1], ids=["one by one", "at once"], autouse=True)
def regime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome does not depend on how many bytes it takes to read records all at once."""
    monkeypatch.setattr(bulk, "LEAST_BYTES", request.param)


def feed(reader: RecordReader, data: bytes, final: bool = False) -> Found:
    """Every record by itself."""
    found = Found()
    for item in reader.feed(data, final):
        if isinstance(item, bulk.Block):
            found += [item.payload(i) for i in range(len(item))]
        else:
            found.append(item)
    return found


payloads = st.lists(st.binary(max_size=40), max_size=8)


def read(pieces: Iterable[bytes], final: bool = False) -> Found:
    """What a reader makes of ``pieces``."""
    reader, found = RecordReader(), Found()
    for piece in pieces:
        found += feed(reader, piece)
    return found + feed(reader, b"", final) if final else found


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


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    before = feed(reader, DATA[:cut])
    assert not offsets(before)
    assert not reader.doubtful
    assert before + feed(reader, DATA[cut:]) == FILE


@pytest.mark.parametrize("cut", range(len(DATA)))
def test_what_is_dropped_is_read_again_from_the_offset(cut: int) -> None:
    reader = RecordReader()
    found = feed(reader, DATA[:cut])
    reader.forget()
    assert found + feed(reader, DATA[reader.offset :]) == FILE


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


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=60), payloads.filter(bool), st.data())
def test_a_torn_record_and_then_the_writer_goes_on(
    torn: bytes, records: list[bytes], data: st.DataObject
) -> None:
    part = data.draw(st.integers(1, len(torn) + 15))
    rest = b"".join(map(encode, records))
    # What follows may happen to be just what was missing, or what another record of that length
    # lacks (zeros and their sum are how an empty record begins): then nothing was torn.
    assume(not rest.startswith(encode(torn)[part:]))
    claimed = (encode(torn)[:part] + rest)[12 : 12 + len(torn)]
    assume(part < 12 or encode(claimed) != (encode(torn)[:part] + rest)[: 16 + len(torn)])
    file = encode(b"before") + encode(torn)[:part] + rest
    found = read([file])
    assert good(found) == [b"before", *records]
    assert offsets(found) == [22]
    assert read(byte_by_byte(file)) == found


def test_a_torn_record_that_claims_more_than_there_is_does_not_block() -> None:
    reader = RecordReader()
    assert feed(reader, encode(bytes(10_000_000))[:100]) == []
    found = feed(reader, encode(b"next"))
    assert found == [Corruption(0, "torn record"), b"next"]


def test_a_zero_filled_tail_then_data() -> None:
    reader = RecordReader()
    assert feed(reader, encode(b"a") + bytes(5000)) == [b"a"]
    assert reader.doubtful
    assert feed(reader, bytes(3000)) == []
    found = feed(reader, encode(b"b") + encode(b"c"))
    assert found == [Corruption(17, "length checksum mismatch"), b"b", b"c"]
    assert not reader.doubtful


def test_bad_bytes_at_the_end_wait_until_final() -> None:
    broken = bytearray(encode(b"value"))
    broken[13] ^= 1
    reader = RecordReader()
    assert (feed(reader, bytes(broken)), reader.doubtful) == ([], True)
    assert (feed(reader, b""), reader.doubtful) == ([], True)
    corrupt = Corruption(0, "payload checksum mismatch")
    assert (feed(reader, b"", final=True), reader.doubtful) == ([corrupt], False)
    assert feed(reader, b"", final=True) == []
    assert feed(reader, encode(b"next")) == [b"next"]


def test_bad_bytes_that_turn_out_good_when_read_again() -> None:
    record = encode(b"late")
    reader = RecordReader()
    assert feed(reader, encode(b"a") + bytes(len(record))) == [b"a"]
    assert reader.doubtful
    reader.forget()
    assert reader.offset == 17
    assert feed(reader, record) == [b"late"]
    assert not reader.doubtful


def test_after_final_the_end_of_a_record_may_still_come() -> None:
    record = encode(b"x" * 100)
    reader = RecordReader()
    assert offsets(feed(reader, b"\xff" * 50 + record[:60], final=True)) == [0]
    reader.forget()
    assert feed(reader, (b"\xff" * 50 + record)[reader.offset :]) == [b"x" * 100]


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
        found += feed(reader, noise)
    assert found == [Corruption(0, "length checksum mismatch")]
    assert len(reader._buffer) <= MAX_GARBAGE
    assert feed(reader, encode(b"end")) == [b"end"]


def test_a_record_over_the_limit_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.formats.records.MAX_RECORD", 1000)
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
