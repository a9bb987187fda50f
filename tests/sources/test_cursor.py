"""How the peers fail (facts on event files): every case of that table, and what is counted."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from monitor.formats import wire
from monitor.formats.tfrecord import encode
from monitor.points import Batch
from monitor.sources.cursor import RETRIES, Counters, Cursor
from monitor.sources.tail import LocalFile


def record(step: int, value: float = 1.0, wall: float = 100.0, tag: bytes = b"loss") -> bytes:
    """One scalar as a record on disk."""
    body = wire.field_bytes(1, tag) + b"\x15" + struct.pack("<f", value)
    summary = wire.field_bytes(5, wire.field_bytes(1, body))
    return encode(wire.field_double(1, wall) + wire.field_varint(2, step) + summary)


class Follower:
    """A file, a cursor on it, and all that came out so far."""

    def __init__(self, path: Path, limit: int = 1 << 20) -> None:
        self.path = path
        self.counters = Counters()
        self.cursor = Cursor(LocalFile(path), "run", "name", self.counters)
        self.limit = limit
        self.batches: list[Batch] = []

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def read(self, final: bool = False) -> list[int]:
        """Steps that came new."""
        before = len(self.batches)
        while self.cursor.look():
            self.batches += self.cursor.read(self.limit, final)
            if not self.cursor.backlog:
                break
        points = [p for batch in self.batches[before:] for p in batch.points]
        return [int(step) for p in points for step in p.steps]


@pytest.fixture(params=[1 << 20, 50, 7], ids=["whole", "by 50", "by 7"])
def follower(request: pytest.FixtureRequest, tmp_path: Path) -> Follower:
    return Follower(tmp_path / "events", request.param)


def test_a_torn_tail_completed_later(follower: Follower) -> None:
    data = record(2)
    for cut in range(1, len(data)):
        follower.append(record(1) + data[:cut])
        assert follower.read() == [1]
        assert follower.read() == []
        follower.append(data[cut:])
        assert follower.read() == [2]
    assert follower.counters.corrupt_records == 0
    assert follower.counters.records == 2 * (len(data) - 1)
    assert follower.counters.bytes == follower.path.stat().st_size


def test_a_torn_record_then_the_writer_goes_on(follower: Follower) -> None:
    follower.append(record(1) + record(2)[:-9])
    assert follower.read() == [1]
    follower.append(record(3) + record(4))
    assert follower.read() == [3, 4]
    assert follower.counters.corrupt_records == 1


def test_a_flipped_bit_in_a_value(follower: Follower) -> None:
    broken = bytearray(record(2))
    broken[-6] ^= 1
    follower.append(record(1) + broken + record(3))
    assert follower.read() == [1, 3]
    assert follower.counters.corrupt_records == 1


def test_an_unparsable_payload(follower: Follower) -> None:
    follower.append(record(1) + encode(b"\xff" * 20) + record(3))
    assert follower.read() == [1, 3]
    assert follower.counters.unusable_events == 1
    assert follower.counters.corrupt_records == 0


def test_a_bad_length_checksum(follower: Follower) -> None:
    broken = bytearray(record(2))
    broken[9] ^= 1
    follower.append(record(1) + broken + record(3))
    assert follower.read() == [1, 3]
    assert follower.counters.corrupt_records == 1


def test_a_zero_filled_tail_then_data(follower: Follower) -> None:
    follower.append(record(1) + bytes(300))
    assert follower.read() == [1]
    follower.append(record(2))
    assert follower.read() == [2]
    assert follower.counters.corrupt_records == 1


def test_truncated_and_rewritten(follower: Follower) -> None:
    follower.append(record(1) + record(2))
    assert follower.read() == [1, 2]
    follower.path.write_bytes(record(1, wall=500))
    assert follower.read() == [1]
    assert follower.batches[-1].writer == "name#2"
    assert follower.batches[-1].points[0].writer == "name#2"
    assert follower.counters.rewrites == 1


def test_replaced_by_rename(follower: Follower, tmp_path: Path) -> None:
    follower.append(record(1))
    assert follower.read() == [1]
    (tmp_path / "new").write_bytes(record(5, wall=500) + record(6))
    (tmp_path / "new").rename(follower.path)
    assert follower.read() == [5, 6]
    assert [batch.writer for batch in follower.batches][-1] == "name#2"


def test_deleted_and_made_anew(follower: Follower) -> None:
    follower.append(record(1))
    assert follower.read() == [1]
    follower.path.unlink()
    assert follower.read() == []
    assert follower.cursor.problem is None
    follower.append(record(7, wall=500))
    assert follower.read() == [7]
    assert follower.counters.rewrites == 1


def test_a_nan_wall_time(follower: Follower) -> None:
    follower.append(record(1) + record(2, wall=float("nan")) + record(3))
    assert follower.read() == [1, 2, 3]


def test_steps_that_go_back_keep_both(follower: Follower) -> None:
    follower.append(b"".join(map(record, [1, 2, 3, 2, 3, 4])))
    assert follower.read() == [1, 2, 3, 2, 3, 4]


def test_an_empty_file(follower: Follower) -> None:
    follower.append(b"")
    assert follower.read() == []
    follower.append(record(1))
    assert follower.read() == [1]


def test_a_megabyte_of_noise(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "events", limit=1 << 16)
    follower.append(random.Random(3).randbytes(1 << 20))
    assert follower.read() == []
    follower.append(record(1))
    assert follower.read() == [1]
    assert follower.counters.corrupt_records == 1


# --- bytes that come late (mmap, NFS) -----------------------------------------------------


def test_zeros_that_are_filled_in_later(follower: Follower) -> None:
    late = record(2) + record(3)
    follower.append(record(1) + bytes(len(late)))
    assert follower.read() == [1]
    with follower.path.open("r+b") as file:
        file.seek(len(record(1)))
        file.write(late)
    assert follower.read() == [2, 3]
    assert follower.counters.corrupt_records == 0
    assert follower.counters.rewrites == 0


def test_bad_bytes_at_the_end_are_called_corrupt_after_some_passes(follower: Follower) -> None:
    follower.append(record(1) + bytes(40))
    passes = 0
    while not follower.counters.corrupt_records and passes < 2 * RETRIES:
        follower.read()
        passes += 1
    assert passes == RETRIES + 1
    assert not follower.cursor.look()
    follower.append(record(2))
    assert follower.read() == [2]
    assert follower.counters.corrupt_records == 1


def test_a_file_that_flows_is_not_looked_at_until_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(tmp_path / "events")
    looks = []
    status = LocalFile.status

    def counted(file: LocalFile) -> tuple[int, int, int]:
        looks.append(file)
        return status(file)

    monkeypatch.setattr(LocalFile, "status", counted)
    for number in range(10):
        follower.append(record(number))
        assert follower.read() == [number]
    flowing = len(looks)
    assert flowing < 10
    assert follower.read() == []
    assert not follower.cursor.look()
    assert len(looks) == flowing + 1
    follower.append(record(10))
    assert follower.read() == [10]


def test_a_torn_record_does_not_flow(follower: Follower) -> None:
    for number in range(10):
        follower.append(record(number))
        assert follower.read() == [number]
    follower.append(record(10)[:30])
    assert [follower.read() for _ in range(5)] == [[]] * 5
    assert not follower.cursor.look()


def test_final_calls_them_corrupt_at_once(follower: Follower) -> None:
    follower.append(record(1) + b"\xff" * 40)
    assert follower.read(final=True) == [1]
    assert follower.counters.corrupt_records == 1
    assert not follower.cursor.look()


def test_a_torn_tail_is_no_corruption_even_if_final(follower: Follower) -> None:
    follower.append(record(1) + record(2)[:30])
    assert follower.read(final=True) == [1]
    assert follower.counters.corrupt_records == 0


def test_an_unfinished_record_longer_than_is_read_again(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "events", limit=1 << 18)
    long = encode(wire.field_bytes(4, bytes(3 << 20)))
    follower.append(record(1) + long[: 2 << 20])
    assert follower.read() == [1]
    follower.append(long[2 << 20 :] + record(2))
    assert follower.read() == [2]
    assert follower.counters.records == 3
    assert follower.counters.bytes == follower.path.stat().st_size


def test_random_histories_lose_nothing(tmp_path: Path) -> None:
    for seed in range(30):
        chance = random.Random(seed)
        follower = Follower(tmp_path / f"events{seed}", chance.choice([5, 60, 1000]))
        steps: list[int] = []
        data = b"".join(record(step) for step in range(20))
        while data:
            cut = chance.randrange(1, 150)
            follower.append(data[:cut])
            data = data[cut:]
            steps += follower.read()
        assert steps == list(range(20))
        assert follower.counters.corrupt_records == 0


def test_a_file_of_more_than_four_gigabytes(tmp_path: Path) -> None:
    """A hole, as a crashed host leaves one, and then the writer went on."""
    path = tmp_path / "x.tfevents"
    with path.open("wb") as file:
        file.write(record(1))
        file.seek((1 << 32) + 4321)
        try:
            file.write(record(2) + record(3))
        except OSError as error:
            pytest.skip(f"no such large files here: {error}")
    assert path.stat().st_blocks * 512 < 1 << 30, "a file system without holes"
    counters = Counters()
    cursor = Cursor(LocalFile(path), "run", "name", counters)
    found: list[int] = []
    while cursor.look():
        found += [int(s) for b in cursor.read(2 << 20) for p in b.points for s in p.steps]
        if not cursor.backlog:
            break
    assert found == [1, 2, 3]
    assert (counters.records, counters.corrupt_records) == (3, 1)
    assert cursor.offset == path.stat().st_size
