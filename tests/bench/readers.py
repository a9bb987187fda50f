"""The readers that bench_reader compares, each in a process of its own.

    python -m tests.bench.readers NAME DIRECTORY READ_LIMIT

Reads the one event file in DIRECTORY and prints JSON: ``cpu`` seconds from after the imports to
the end of reading, ``startup`` CPU seconds before that, ``peak`` bytes in memory, ``points``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from tests.bench.measure import own_cpu, peak_memory

Reader = Callable[[Path, int], dict[str, Any]]
"""Takes the directory and the read limit; what it found."""

LIVE_RECORDS = 20
LIVE_ROUNDS = 3000


def columns() -> Reader:
    """Ours, as ``monitor check`` reads: batches of columns, dropped as they come."""
    from monitor.sources.logdir import LogDirs

    def read(directory: Path, limit: int) -> dict[str, Any]:
        dirs, points, last = LogDirs([directory]), 0, dict[str, int]()
        dirs.rescan()
        while batches := dirs.read(limit, final=True):
            for column in (column for batch in batches for column in batch.points):
                points += len(column.steps)
                last[column.key.tag] = int(column.steps[-1])
        stats = dirs.stats
        return {"points": points, "last": last, "records": stats.records} | {
            "corrupt": stats.corrupt_records + stats.unusable_events
        }

    return read


def rules() -> Reader:
    """Ours, and all rules that come with the monitor."""
    from monitor.follower import Follower
    from monitor.rules import load

    rule_set = load(None)

    def read(directory: Path, limit: int) -> dict[str, Any]:
        follower = Follower([directory], rule_set)
        follower.catch_up(final=True)
        alerts = sorted({alert.rule.alert for alert in follower.alerts()})
        return {"records": follower.dirs.stats.records, "alerts": alerts}

    return read


def accumulator() -> Reader:
    """TensorBoard's own, with all scalars kept."""
    import logging

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)

    def read(directory: Path, limit: int) -> dict[str, Any]:
        reader = EventAccumulator(str(directory), size_guidance={"scalars": 0})
        reader.Reload()
        tags = reader.Tags()["scalars"]
        return {"points": sum(len(reader.Scalars(tag)) for tag in tags)}

    return read


def tbparse() -> Reader:
    """Scalars as a data frame of pandas."""
    from tbparse import SummaryReader

    def read(directory: Path, limit: int) -> dict[str, Any]:
        reader = SummaryReader(str(directory), event_types={"scalars"})
        return {"points": len(reader.scalars)}

    return read


def live() -> Reader:
    """Ours at the live tail: a few records are appended and read, many times over.

    Microseconds per record: with the file (its status, open, read, close) and from bytes in
    memory; the clock of this thread, so that neighbours do not count.
    """
    from monitor.formats.event import EventDecoder
    from monitor.formats.records import RecordReader
    from monitor.sources.cursor import Counters, Cursor
    from monitor.sources.tail import LocalFile
    from tests.bench.recordfiles import beginning

    def read(directory: Path, limit: int) -> dict[str, Any]:
        (path,) = directory.iterdir()
        pieces = _pieces(beginning(path, 1 + LIVE_RECORDS * LIVE_ROUNDS)[0])
        grown = directory.parent / f"{directory.name}.live"
        cursor = Cursor(LocalFile(grown), "run", "file", Counters())
        reader, decoder = RecordReader(), EventDecoder("run", "file")
        from_file, from_memory = [], []
        with grown.open("wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)
                begin = time.thread_time_ns()
                batches = cursor.read(limit) if cursor.look() else []
                middle = time.thread_time_ns()
                again = decoder.decode_all(cast("list[bytes]", reader.feed(piece)))
                end = time.thread_time_ns()
                assert len(batches) == len(again) == 1
                assert len(batches[0].columns) == len(again[0].columns)
                from_file.append((middle - begin) / LIVE_RECORDS / 1000)
                from_memory.append((end - middle) / LIVE_RECORDS / 1000)
        grown.unlink()
        return {"file": from_file, "memory": from_memory}

    return read


def _pieces(data: bytes) -> list[bytes]:
    """``data`` in pieces of LIVE_RECORDS records; what is left over at the end is left out."""
    pieces, begin, at, count = [], 0, 0, 0
    while at < len(data):
        at += 16 + int.from_bytes(data[at : at + 8], "little")
        count += 1
        if count == LIVE_RECORDS:
            pieces.append(data[begin:at])
            begin, count = at, 0
    return pieces


def numpy_only() -> Reader:
    """Nothing but an interpreter with numpy: memory to compare with."""
    import numpy as np

    def read(directory: Path, limit: int) -> dict[str, Any]:
        return {"numpy": np.__version__}

    return read


def interpreter() -> Reader:
    """Nothing but an interpreter."""
    return lambda directory, limit: {}


READERS = {
    "columns": columns,
    "rules": rules,
    "EventAccumulator": accumulator,
    "tbparse": tbparse,
    "live": live,
    "numpy": numpy_only,
    "interpreter": interpreter,
}


def main(name: str, directory: str, limit: str) -> None:
    """Reads, and prints what was measured."""
    read = READERS[name]()
    startup = own_cpu()
    found = read(Path(directory), int(limit))
    measured = {"cpu": own_cpu() - startup, "startup": startup, "peak": peak_memory()}
    json.dump(measured | found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
