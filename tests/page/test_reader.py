"""The process that reads for pages: a real one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.history import RunHistory, run
from monitor.page import worker
from monitor.page.reader import FRESH_SECONDS, Process, Reader, UnreadableError
from monitor.page.watched import Watched
from monitor.rules.model import Roles
from monitor.views import RunView
from tests.events import falling, write_run
from tests.page.views import view

LOSS = {"tags": ["loss"], "points": 50}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    write_run(tmp_path / "r", {"loss": falling(200)})
    return tmp_path


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.close()


def pid(process: Process) -> int:
    assert process._process is not None
    return process._process.pid


def test_it_answers_and_says_what_is_wrong_and_goes_on(logs: Path, process: Process) -> None:
    whole, body = process.ask([logs], {"run": "r", **LOSS})
    found = json.loads(body)
    assert whole is found["whole"] is True
    assert found["curves"][0]["points"] == 200
    first = pid(process)
    with pytest.raises(UnreadableError, match="There is no run of this name"):
        process.ask([logs], {"run": "x", **LOSS})
    _, body = process.ask([logs], {"run": "r", "stat": "grad_norm"})
    assert json.loads(body)["layers"] == []
    assert pid(process) == first
    assert os.getpriority(os.PRIO_PROCESS, first) >= 5


def test_a_long_run_is_answered_in_part_first(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "READ_SECONDS", 0.0)
    monkeypatch.setattr(run, "READ_BYTES", 5_000)
    histories = worker.Histories(lambda name: RunHistory([logs], name))
    kinds = [worker.answer(histories, {"run": "r", **LOSS}) for _ in range(20)]
    assert [kind for kind, _ in kinds] == sorted(kind for kind, _ in kinds)
    first, last = json.loads(kinds[0][1]), json.loads(kinds[-1][1])
    assert (first["whole"], last["whole"]) == (False, True)
    assert first["curves"][0]["points"] < last["curves"][0]["points"] == 200


def test_a_process_that_was_killed_is_started_again(logs: Path, process: Process) -> None:
    before = process.ask([logs], {"run": "r", **LOSS})
    first = pid(process)
    os.kill(first, signal.SIGKILL)
    assert process.ask([logs], {"run": "r", **LOSS}) == before
    assert pid(process) != first


def test_it_ends_with_its_parent(logs: Path, process: Process) -> None:
    process.ask([logs], {"run": "r", **LOSS})
    child = process._process
    assert child is not None
    assert child.stdin is not None
    child.stdin.close()  # as when the daemon is killed
    assert child.wait(10) == 0


def asked(reader: Reader, work: Callable[[], Awaitable[Any]]) -> Any:
    async def all_of_it() -> Any:
        return await work()

    try:
        return asyncio.run(all_of_it())
    finally:
        reader.close()


def test_pages_that_ask_the_same_share_one_reading(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views: dict[str, RunView] = {"r": view("r")}
    reader = Reader(Watched(lambda: dict(views), lambda: True, Roles, [logs]))
    readings: list[float] = []
    really = Process.ask

    def counted(self: Process, *given: Any) -> tuple[bool, bytes]:
        readings.append(time.monotonic())
        return really(self, *given)

    monkeypatch.setattr(Process, "ask", counted)

    async def work() -> None:
        first = await asyncio.gather(*(reader.ask("r", LOSS) for _ in range(20)))
        assert len(set(first)) == 1
        assert len(readings) == 1
        await reader.ask("r", LOSS)
        assert len(readings) == 1  # nothing has changed
        views["r"] = view("r", last_step=1)
        await asyncio.gather(*(reader.ask("r", LOSS) for _ in range(20)))

    asked(reader, work)
    assert len(readings) == 2
    assert readings[1] - readings[0] >= 0.9 * FRESH_SECONDS


def test_an_error_is_told_to_all_and_not_kept(logs: Path) -> None:
    reader = Reader(Watched(dict, lambda: True, Roles, [logs]))

    async def work() -> list[Any]:
        asking = (reader.ask("x", LOSS) for _ in range(3))
        found = await asyncio.gather(*asking, return_exceptions=True)
        good = await reader.ask("r", LOSS)
        return [*found, good]

    *errors, good = asked(reader, work)
    assert all(isinstance(error, UnreadableError) for error in errors)
    assert b"curves" in good
