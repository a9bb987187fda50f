"""What the monitor says of a recorded run: the code of ``monitor check`` over its real files.

Liveness needs somebody who listens while a run goes on: such runs are also followed live, from
files that grow as they did when the run was recorded.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from monitor.follower import Follower
from monitor.notices import AlertDocument, document
from monitor.rules import RuleSet
from tests.zoo.record import Recorded
from tests.zoo.script import Note


def alerts_of(run: Recorded, rules: RuleSet) -> list[AlertDocument]:
    """As ``monitor check --format json`` prints them, in firing order."""
    if run.note.hears:
        return _live(run.place, run.note, rules)
    follower = Follower([run.place], rules)
    follower.catch_up(final=True)
    return _documents(follower)


def _documents(follower: Follower) -> list[AlertDocument]:
    problems = (*follower.dirs.problems.values(), *follower.engine.failures.values())
    if problems:
        raise RuntimeError("; ".join(map(str, problems)))
    return [document(alert) for alert in follower.alerts()]


def _live(place: Path, note: Note, rules: RuleSet) -> list[AlertDocument]:
    files = [path for path in sorted(place.rglob("*tfevents*")) if path.is_file()]
    records = {path: list(records_of(path)) for path in files}
    with tempfile.TemporaryDirectory() as there:
        root = Path(there)
        follower = Follower([root], rules)
        for now in (*sorted(note.hears), float("inf")):
            for path in files:
                some = [data for clock, data in records[path] if clock <= now]
                records[path] = records[path][len(some) :]
                copy = root / path.relative_to(place)
                if some:
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    with copy.open("ab") as file:
                        file.writelines(some)
            follower.catch_up(final=now == float("inf"))
            if now != float("inf"):
                follower.tick(now)
        return _documents(follower)


def records_of(path: Path) -> Iterator[tuple[float, bytes]]:
    """(wall time, framed bytes) of each event; every writer puts the time first."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert data[at + 12] == 0x09, "an event begins with its wall time"
        (clock,) = struct.unpack_from("<d", data, at + 13)
        yield clock, data[at : at + 16 + length]
        at += 16 + length
