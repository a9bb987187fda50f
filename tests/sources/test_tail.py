"""One growing file: bytes once each, and every way of being rewritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.sources.tail import LocalFile, Rewritten, Tail, Unreadable


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_each_byte_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello world")
    tail = Tail(LocalFile(path))
    assert [tail.read(4) for _ in range(4)] == [b"hell", b"o wo", b"rld", b""]
    append(path, b"!")
    assert tail.read(100) == b"!"
    assert tail.offset == tail.size == 12


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    tail = Tail(LocalFile(tmp_path / "file"))
    assert tail.read(10) == Unreadable("No such file or directory", missing=True)
    (tmp_path / "file").write_bytes(b"late")
    assert tail.read(10) == b"late"


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Tail(LocalFile(tmp_path / "pipe")).read(10) == Unreadable("not a regular file")
    assert isinstance(Tail(LocalFile(tmp_path)).read(10), Unreadable)


@pytest.mark.parametrize("new", [b"", b"short", b"another file, longer than the first was"])
@pytest.mark.parametrize("how", ["in place", "renamed", "deleted first"])
def test_rewritten(tmp_path: Path, new: bytes, how: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the first content")
    tail = Tail(LocalFile(path))
    tail.read(100)
    if how == "renamed":
        (tmp_path / "new").write_bytes(new)
        (tmp_path / "new").rename(path)
    else:
        if how == "deleted first":
            path.unlink()
        path.write_bytes(new)
    assert tail.read(100) == Rewritten()
    assert tail.offset == 0
    assert tail.read(100) == new
    append(path, b" more")
    assert tail.read(100) == b" more"


def test_a_change_after_the_same_beginning(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000) + b"old")
    tail = Tail(LocalFile(path))
    tail.read(2000)
    path.write_bytes(bytes(1000) + b"new, and longer")
    assert tail.read(2000) == Rewritten()


def test_a_longer_copy_of_the_same_file_goes_on(tmp_path: Path) -> None:
    """What rsync does: it renames a new, longer copy over the old one."""
    path = tmp_path / "file"
    path.write_bytes(b"some records")
    tail = Tail(LocalFile(path))
    tail.read(100)
    (tmp_path / "copy").write_bytes(b"some records, and more")
    (tmp_path / "copy").rename(path)
    assert tail.read(100) == b", and more"


def test_bytes_filled_in_late_are_read_after_going_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good" + bytes(6))
    tail = Tail(LocalFile(path))
    tail.read(100)
    path.write_bytes(b"goodfilled")
    tail.back_to(4)
    assert tail.read(100) == b"filled"
    assert tail.read(100) == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"secret")
    path.chmod(0)
    tail = Tail(LocalFile(path))
    assert tail.read(10) == Unreadable("Permission denied")
    path.chmod(0o600)
    assert tail.read(10) == b"secret"
