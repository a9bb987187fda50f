"""The notice board, and the events that pages are sent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from monitor.page import stream
from monitor.page.changes import RUNS_NAMED, Changes, News
from monitor.page.stream import events

NEWS = News("r", "Bad", "critical", "it is bad", False)


def test_a_listener_hears_of_what_came_after_it_last_looked() -> None:
    board = Changes()
    board.tell(["a"])
    seen = board.version
    board.tell(["b"], [NEWS])
    board.tell((), gone=["a"])
    change = board.since(seen)
    assert change is not None
    assert (change.runs, change.many, change.news) == (("b",), True, (NEWS,))
    assert board.since(change.version) is None


def test_many_runs_are_told_as_many() -> None:
    board = Changes()
    board.tell(map(str, range(RUNS_NAMED + 1)))
    change = board.since(0)
    assert change is not None
    assert (len(change.runs), change.many) == (RUNS_NAMED, True)


async def following(stream: AsyncIterator[bytes]) -> tuple[str, Any]:
    first, second, *_ = (await asyncio.wait_for(anext(stream), 5)).decode().split("\n")
    return first.removeprefix("event: "), json.loads(second.removeprefix("data: "))


def test_what_another_thread_tells_arrives_and_the_end_too() -> None:
    async def page(board: Changes) -> list[Any]:
        heard = events(board)
        said = [await following(heard)]
        threading.Thread(target=board.tell, args=(["a"], [NEWS])).start()
        said.append(await following(heard))
        threading.Thread(target=board.close).start()
        assert [more async for more in heard] == []
        return said

    board = Changes()
    hello, changed = asyncio.run(page(board))
    assert hello[0] == "hello"
    assert (changed[0], changed[1]["runs"], changed[1]["news"][0]["alert"]) == (
        "changed",
        ["a"],
        "Bad",
    )
    assert board.listeners == 0


def test_runs_that_change_all_the_time_are_told_twice_a_second_and_alerts_at_once() -> None:
    async def page(board: Changes) -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        heard = events(board)
        await following(heard)
        board.tell(["a"])
        await following(heard)
        begin = loop.time()
        board.tell(["a"])
        await following(heard)
        rested = loop.time() - begin
        begin = loop.time()
        board.tell(["a"], [NEWS])
        _, said = await following(heard)
        assert said["news"]
        return rested, loop.time() - begin

    rested, urgent = asyncio.run(page(Changes()))
    assert rested >= 0.9 * stream.PAUSE_SECONDS
    assert urgent < 0.5 * stream.PAUSE_SECONDS


def test_telling_nobody_keeps_nothing_waiting() -> None:
    board = Changes()
    for _ in range(1000):
        board.tell(["a"], [NEWS])
    change = board.since(0)
    assert change is not None
    assert len(change.news) == 200
