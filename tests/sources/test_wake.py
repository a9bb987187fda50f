"""Hints: what wakes, what does not, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from watchdog.observers.polling import PollingObserver

from monitor.sources import wake
from monitor.sources.wake import Waker

LONG = 20.0
"""Seconds that no test waits for, unless it fails."""


@pytest.fixture
def needs_inotify(tmp_path: Path) -> None:
    with Waker([tmp_path]) as waker:
        if not waker.hints:
            pytest.skip("no inotify here")


def quiet(waker: Waker) -> None:
    """Takes up what has been told already."""
    while waker.wait(0):
        pass


def test_a_timeout(tmp_path: Path) -> None:
    with Waker([tmp_path]) as waker:
        assert not waker.wait(0)
        assert not waker.wait(0.01)


def test_wake_ends_the_next_wait_once(tmp_path: Path) -> None:
    with Waker([tmp_path]) as waker:
        waker.wake()
        waker.wake()
        assert waker.wait(LONG)
        assert not waker.wait(0)
    waker.wake()


def test_wake_from_another_thread(tmp_path: Path) -> None:
    with Waker([tmp_path]) as waker:
        thread = threading.Thread(target=waker.wake)
        thread.start()
        assert waker.wait(LONG)
        thread.join()


def test_wake_from_a_signal_handler(tmp_path: Path) -> None:
    with Waker([tmp_path]) as waker:
        before = signal.signal(signal.SIGUSR1, lambda number, frame: waker.wake())
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert waker.wait(LONG)
        finally:
            signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("needs_inotify")
def test_what_wakes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "events"
    path.parent.mkdir()
    with Waker([tmp_path]) as waker:
        path.write_bytes(b"new")
        assert waker.wait(LONG)
        quiet(waker)
        with path.open("ab", buffering=0) as file:
            file.write(b"more")
            assert waker.wait(LONG)
        quiet(waker)
        path.rename(tmp_path / "b")
        assert waker.wait(LONG)
        quiet(waker)
        (tmp_path / "b").unlink()
        assert waker.wait(LONG)


@pytest.mark.usefixtures("needs_inotify")
def test_reading_does_not_wake(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"some")
    with Waker([tmp_path]) as waker:
        assert (tmp_path / "events").read_bytes() == b"some"
        assert list(tmp_path.iterdir())
        assert not waker.wait(0.05)


@pytest.mark.usefixtures("needs_inotify")
def test_directories_that_appear_are_watched(tmp_path: Path) -> None:
    with Waker([tmp_path]) as waker:
        (tmp_path / "a" / "b").mkdir(parents=True)
        assert waker.wait(LONG)
        quiet(waker)
        (tmp_path / "a" / "b" / "events").write_bytes(b"x")
        assert waker.wait(LONG)


def test_links_that_lead_back_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "back").symlink_to(tmp_path)
    with Waker([tmp_path / "root"]) as waker:
        assert not waker.wait(0)


@pytest.mark.usefixtures("needs_inotify")
def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"x")
    with Waker([path]) as waker:
        path.write_bytes(b"y")
        assert waker.wait(LONG)


@pytest.mark.usefixtures("needs_inotify")
def test_a_stream_of_events_wakes_only_now_and_then(tmp_path: Path) -> None:
    with Waker([tmp_path]) as waker, (tmp_path / "events").open("ab", buffering=0) as file:
        begin, wakes = time.monotonic(), 0
        for _ in range(200):
            file.write(b"x")
            wakes += waker.wait(0.001)
        assert wakes <= (time.monotonic() - begin) / wake.COALESCE_SECONDS + 2


@pytest.mark.usefixtures("needs_inotify")
def test_hints_are_off_in_a_storm_and_back_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "STORM_HINTS", 5)
    monkeypatch.setattr(wake, "STORM_SECONDS", 0.2)
    with Waker([tmp_path]) as waker:
        for i in range(200):
            (tmp_path / "events").write_bytes(bytes(i))
            waker.wait(0.01)
            if not waker.hints:
                break
        assert not waker.hints
        assert waker.wait(LONG)  # ends by itself: it must not last as long as it could
        deadline = time.monotonic() + LONG
        while not waker.hints and time.monotonic() < deadline:
            waker.wait(0.01)
        quiet(waker)
        (tmp_path / "events").write_bytes(b"x")
        assert waker.wait(LONG)


def test_a_root_that_is_missing(tmp_path: Path) -> None:
    with Waker([tmp_path / "missing" / "deep"]) as waker:
        assert not waker.wait(0)


def test_works_without_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unavailable(PollingObserver):
        def start(self) -> None:
            raise OSError("no inotify")

    monkeypatch.setattr(wake, "Observer", Unavailable)
    with Waker([tmp_path]) as waker:
        assert not waker.hints
        (tmp_path / "events").write_bytes(b"x")
        assert not waker.wait(0.01)
        waker.wake()
        assert waker.wait(LONG)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with Waker([tmp_path]) as waker:
            waker.wait(0)
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
