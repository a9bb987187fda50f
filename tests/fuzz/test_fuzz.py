"""A short form of the fuzzing, and that it finds what it is there to find."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.formats import bulk, records
from monitor.formats.event import EventDecoder
from monitor.formats.records import RecordReader
from monitor.points import Points
from tests.fuzz import shrink
from tests.fuzz.cases import Case, case, judge
from tests.fuzz.expect import gaps, intact
from tests.fuzz.files import large, make
from tests.fuzz.mutate import Mutant, foreign, join, whole

SHORT = 250


def test_damaged_files() -> None:
    for i in range(SHORT):
        assert judge(case(random.Random(f"0/{i}"))).wrong is None, f"--first {i} --files 1"


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_damaged_files_by_hypothesis(chance: random.Random) -> None:
    assert judge(case(chance, large_share=0.0)).wrong is None


def test_undamaged_large_files_come_whole_and_in_blocks() -> None:
    good = large(0)
    for cursor in (False, True):
        verdict = judge(Case(good, whole(good), [], [], cursor))
        assert verdict.wrong is None
        assert verdict.intact == len(good.bounds) - 1
        assert cursor or verdict.in_blocks > 1000


# --- what is intact -----------------------------------------------------------------------

FILE = make(random.Random(1), 10)
B = FILE.bounds.tolist()


def found(mutant: Mutant) -> list[int]:
    return [r for _, r in intact(FILE, mutant)]


def test_intact_is_what_is_untouched_wherever_it_stands() -> None:
    file = whole(FILE)
    rest = file.cut(B[2], B[10])
    assert found(file) == list(range(10))
    assert found(file.overwrite(B[3] + 5, b"\xff\xfe")) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert found(join(rest, file.cut(0, B[2]))) == [2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert found(join(file.cut(0, B[2]), file.cut(0, B[2]))) == [0, 1, 0, 1]
    assert found(join(file.cut(0, B[1] + 3), foreign(b"x"), rest)) == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert found(file.cut(0, B[1] - 1)) == []


def test_bytes_that_happen_to_complete_a_record_do_so() -> None:
    file = whole(FILE)
    foreign_head = foreign(FILE.data[B[4] : B[4] + 12])
    assert found(join(foreign_head, file.cut(B[4] + 12, B[5]))) == [4]
    assert found(join(file.cut(B[4], B[5] - 1), foreign(FILE.data[B[5] - 1 : B[5]]))) == [4]
    assert found(file.overwrite(B[4], FILE.data[B[4] : B[5]])) == list(range(10))


def test_of_two_records_that_share_a_byte_the_first_counts() -> None:
    """Its last byte is missing, and the next record begins with the same one."""
    many = make(random.Random(2), 200)
    ends = {many.data[end - 1]: r for r, end in enumerate(many.bounds.tolist()[1:])}
    torn, after = next(
        (ends[many.data[begin]], r)
        for r, begin in enumerate(many.bounds.tolist()[:-1])
        if many.data[begin] in ends
    )
    file = whole(many)
    torn_part = file.cut(many.bounds[torn], many.bounds[torn + 1] - 1)
    shared = join(torn_part, file.cut(many.bounds[after], many.bounds[after + 1]))
    assert intact(many, shared) == [(0, torn)]


def test_gaps_are_where_nothing_intact_stands() -> None:
    file = whole(FILE)
    broken = join(foreign(b"xyz"), file.cut(0, B[2]), foreign(b"?"))
    assert gaps(FILE, intact(FILE, broken), len(broken)) == [0, 3 + B[2]]
    assert gaps(FILE, intact(FILE, file), len(file)) == []


# --- a reader with a fault is found out ---------------------------------------------------


def _loses_one(kept: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, data, final=False: kept(self, data, final)[:-1]


def _repeats(kept: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, data, final=False: [x for x in kept(self, data, final) for _ in (0, 1)]


def _breaks_down(kept: Callable[..., Any]) -> Callable[..., Any]:
    def feed(self: RecordReader, data: bytes, final: bool = False) -> Any:
        raise IndexError("out of range")

    return feed


def failures(count: int = 60, large_share: float = 0.0) -> list[str]:
    verdicts = (judge(case(random.Random(f"0/{i}"), large_share)) for i in range(count))
    return [verdict.wrong for verdict in verdicts if verdict.wrong is not None]


@pytest.mark.parametrize("fault", [_loses_one, _repeats, _breaks_down])
def test_a_reader_with_a_fault_fails(
    fault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordReader, "feed", fault(RecordReader.feed))
    assert len(failures()) > 20


def test_a_reader_that_does_not_look_at_the_checksum_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def believing(buffer: bytes, at: int, out: list[Any]) -> tuple[int, str]:
        while at + 16 <= len(buffer):
            after = at + 12 + int.from_bytes(buffer[at : at + 8], "little")
            if after + 4 > len(buffer):
                break
            out.append(buffer[at + 12 : after])
            at = after + 4
        return at, ""

    monkeypatch.setattr(records, "_chain", believing)
    assert any("nobody wrote" in sentence for sentence in failures(200))


def test_blocks_whose_checksums_nobody_looks_at_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_intact", lambda block, at: True)
    assert failures(30, large_share=1.0)


def test_a_decoder_that_mixes_up_steps_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = EventDecoder.decode_all

    def shifted(self: EventDecoder, found: Any) -> Any:
        batches = kept(self, found)
        return [b._replace(columns=tuple(_late(p) for p in b.points)) for b in batches]

    monkeypatch.setattr(EventDecoder, "decode_all", shifted)
    assert any("step" in sentence for sentence in failures())


def _late(points: Points) -> Points:
    return replace(points, steps=points.steps + 1)


def test_a_reader_that_hangs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(self: RecordReader, data: bytes, final: bool = False) -> Any:
        while True:
            pass

    monkeypatch.setattr(RecordReader, "feed", feed)
    monkeypatch.setattr("tests.fuzz.cases.SECONDS", 0.05)
    wrong = judge(case(random.Random(0), large_share=0.0)).wrong
    assert wrong is not None
    assert "not read within" in wrong


def test_a_failure_is_made_small_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(RecordReader, "_search", lambda self, buffer, at: None)
    numbers = (i for i in range(200) if judge(case(random.Random(i), 0.0)).wrong)
    failing = case(random.Random(next(numbers)), 0.0)
    small = shrink.shrunk(failing)
    assert len(small.mutant) < 200
    shrink.save(small, tmp_path / "kept.npz")
    again = shrink.load(tmp_path / "kept.npz")
    assert judge(again).wrong == judge(small).wrong is not None
    monkeypatch.undo()
    assert judge(again).wrong is None
