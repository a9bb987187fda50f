"""The made files are what they are said to be, and TensorBoard reads the same from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.recordfiles import KINDS, beginning, write
from tests.formats.test_event_oracle import assert_same

EVENTS = 3000


@pytest.mark.parametrize("kind", KINDS)
def test_tensorboard_reads_the_same(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    write(path, kind, EVENTS)
    histograms = path.read_bytes().count(b"weights/")
    assert (histograms > 0) is (kind == "irregular")
    assert assert_same(path) == EVENTS - 1 - histograms


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_each_time(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "a", kind, 500)
    write(tmp_path / "b", kind, 500)
    write(tmp_path / "c", kind, 500, seed=1)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_the_beginning_is_cut_between_records(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    write(path, "periodic", 100)
    data = path.read_bytes()
    assert beginning(path, 1000) == (data, 100)
    part, count = beginning(path, 40)
    assert count == 40
    (tmp_path / "events.out.tfevents.2").write_bytes(part)
    assert assert_same(tmp_path / "events.out.tfevents.2") == 39
    path.write_bytes(data[:-1])
    assert beginning(path, 1000)[1] == 99
