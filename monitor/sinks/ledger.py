"""What is known to have been told: a small SQLite file, the only one that the daemon keeps.

A transition of an alert, firing or resolved, is written down together with a delivery for each
channel, in one transaction, before anybody is told; a delivery is struck out when its channel has
taken it. So whatever kills the daemon, every transition is delivered, and twice only if it dies
between the two. After a restart the event files are read again and give the same alerts: those
that stand here are no news.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.alerts import Alert
from monitor.notices import AlertDocument, Identity, Notice, news
from monitor.sinks import UnusableError

FILE = "ledger.sqlite"
GATHER_SECONDS = 0.5
"""What becomes news within so much time goes out together."""
OLDEST_SECONDS = 24 * 3600.0
"""What could not be delivered for so long is given up, and counted."""
MOST_WAITING = 10_000
"""Deliveries that wait for a channel; of more, the oldest are given up, and counted."""
FORGET_SECONDS = 90 * 86400.0
"""Of runs that have not been seen for so long nothing is kept."""

ALERTS_PER_RUN = 1000
"""More than a run keeps; the oldest that are over are not remembered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alerts (
    run TEXT, alert TEXT, step INTEGER, clock REAL, document TEXT, seen REAL,
    PRIMARY KEY (run, alert, step, clock)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT, run TEXT, firing INTEGER, document TEXT,
    since REAL, due REAL, tries INTEGER
);
CREATE TABLE IF NOT EXISTS alive (id INTEGER PRIMARY KEY CHECK (id = 1), clock REAL);
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One transition on its way to one channel."""

    id: int
    run: str
    firing: bool
    document: AlertDocument
    since: float
    """When it became news, by the daemon's clock."""
    tries: int


class Ledger:
    """Safe for several threads; without a ``directory`` it is kept in memory only."""

    def __init__(self, directory: Path | None, channels: Sequence[str], now: float) -> None:
        self._channels = tuple(channels)
        self._lock = threading.Lock()
        self._ready = False
        self._given_up = dict.fromkeys(channels, 0)
        self.lost = ""
        """What went wrong with the file, if it did: from then on memory has to do."""
        self._db = _open(directory)
        self._write(lambda db: self._tidy(db, now))
        (self._alive,) = self._db.execute("SELECT clock FROM alive").fetchone()
        self._known: dict[str, dict[Identity, AlertDocument | None]] = {}
        for run, alert, step, clock, said in self._db.execute(
            "SELECT run, alert, step, clock, document FROM alerts"
        ):
            key = Identity(alert, step, clock)
            self._known.setdefault(run, {})[key] = json.loads(said) if said else None

    def _tidy(self, db: sqlite3.Connection, now: float) -> None:
        db.execute("DELETE FROM alerts WHERE seen < ?", (now - FORGET_SECONDS,))
        # From its birth on: the first daemon may be killed before it is ready.
        db.execute("INSERT OR IGNORE INTO alive VALUES (1, ?)", (now,))
        # A channel that is not there any more will not take anything.
        for (channel,) in db.execute("SELECT DISTINCT channel FROM deliveries").fetchall():
            if channel not in self._channels:
                db.execute("DELETE FROM deliveries WHERE channel = ?", (channel,))

    def ready(self, runs: Iterable[str], now: float) -> None:
        """What was there at the start, these ``runs``, is dealt with: what comes now is news."""
        self._ready = True
        rows = [(now, run) for run in runs if run in self._known]
        self._write(lambda db: db.executemany("UPDATE alerts SET seen = ? WHERE run = ?", rows))

    def beat(self, now: float) -> None:
        """The daemon is alive at ``now``: what ends later will be news for the next one."""
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO alive VALUES (1, ?)", (now,)))

    def update(
        self, run: str, alerts: Sequence[Alert], now: float, archived: bool = False
    ) -> list[Notice]:
        """What is news in a run's ``alerts``; written down, with deliveries, before it is told.

        Until :meth:`ready`, alerts that were over before the last daemon's end, or before the
        first one's start, are history; in an ``archived`` run, which was silent for long, those
        that fired before it. They will be news if the run goes on.
        """
        known = self._known.get(run, {})
        found = news(known, alerts) if alerts or known else []
        if not found:
            return []
        past = {n.identity for n in found if self._is_past(n, archived)}
        past -= {key for key, said in known.items() if said is not None}
        told = [notice for notice in found if notice.identity not in past]
        after = {
            n.identity: None if n.resolved or n.identity in past else n.document for n in found
        }
        alerts_rows = [
            (run, *key, None if said is None else _json(said), now) for key, said in after.items()
        ]
        deliveries = [
            (channel, run, not notice.resolved, _json(notice.document), now, now + GATHER_SECONDS)
            for notice in told
            for channel in self._channels
        ]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?)", alerts_rows)
            db.executemany(_DELIVER, deliveries)
            for channel in self._channels if deliveries else ():
                self._given_up[channel] += db.execute(_BOUND, (channel, MOST_WAITING)).rowcount

        self._write(write)
        self._known[run] = _bounded({**known, **after})
        return told

    def _is_past(self, notice: Notice, archived: bool) -> bool:
        if archived and notice.identity.clock < self._alive:
            return True
        ended = notice.ended_at or math.inf
        return not self._ready and notice.resolved and ended < self._alive

    def runs(self) -> frozenset[str]:
        """Runs of which an alert was told as firing, and not as resolved."""
        return frozenset(
            run for run, known in self._known.items() if any(s is not None for s in known.values())
        )

    def due(self, channel: str, now: float, most: int = 500) -> list[Delivery]:
        """What the channel should be given by now, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, run, firing, document, since, tries FROM deliveries"
                " WHERE channel = ? AND due <= ? ORDER BY id LIMIT ?",
                (channel, now, most),
            ).fetchall()
        return [
            Delivery(i, run, bool(firing), json.loads(text), since, tries)
            for i, run, firing, text, since, tries in rows
        ]

    def next_due(self, channel: str) -> float:
        """When the channel should be given something; infinity if nothing waits."""
        with self._lock:
            (due,) = self._db.execute(
                "SELECT MIN(due) FROM deliveries WHERE channel = ?", (channel,)
            ).fetchone()
        return math.inf if due is None else float(due)

    def waiting(self, channel: str) -> int:
        """How many deliveries the channel has not taken yet."""
        with self._lock:
            (count,) = self._db.execute(
                "SELECT COUNT(*) FROM deliveries WHERE channel = ?", (channel,)
            ).fetchone()
        return int(count)

    def given_up(self, channel: str) -> int:
        """How many were given up since this was last asked, because too many waited."""
        with self._lock:
            count, self._given_up[channel] = self._given_up[channel], 0
        return count

    def strike(self, deliveries: Iterable[Delivery]) -> None:
        """They have been taken, or given up."""
        ids = [(delivery.id,) for delivery in deliveries]
        self._write(lambda db: db.executemany("DELETE FROM deliveries WHERE id = ?", ids))

    def tried(self, deliveries: Iterable[Delivery]) -> None:
        """They were not taken."""
        ids = [(delivery.id,) for delivery in deliveries]
        self._write(lambda db: db.executemany(_TRIED, ids))

    def close(self) -> None:
        """Nothing may be asked of it afterwards."""
        with self._lock:
            self._db.close()

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """A transaction. If the file fails (a full disk), what is in it goes on in memory."""
        with self._lock:
            try:
                with self._db:
                    work(self._db)
            except sqlite3.Error as error:
                if self.lost:
                    raise
                self.lost = str(error)
                self._db = _copied(self._db)
                with self._db:
                    work(self._db)


_DELIVER = (
    "INSERT INTO deliveries (channel, run, firing, document, since, due, tries)"
    " VALUES (?, ?, ?, ?, ?, ?, 0)"
)
_BOUND = (
    "DELETE FROM deliveries WHERE id IN"
    " (SELECT id FROM deliveries WHERE channel = ? ORDER BY id DESC LIMIT -1 OFFSET ?)"
)
_TRIED = "UPDATE deliveries SET tries = tries + 1 WHERE id = ?"


def _copied(old: sqlite3.Connection) -> sqlite3.Connection:
    """In memory, with all of the old one that can be read."""
    new = _open(None)
    for table in ("alerts", "deliveries", "alive"):
        try:
            rows = old.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - ours
        except sqlite3.Error:
            continue
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            new.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - ours
    new.commit()
    old.close()
    return new


def _open(directory: Path | None) -> sqlite3.Connection:
    if directory is None:
        db = sqlite3.connect(":memory:", check_same_thread=False)
        db.executescript(_SCHEMA)
        return db
    path = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
        # One daemon at a time: a second one would tell everything once more.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript("BEGIN EXCLUSIVE;" + _SCHEMA + "COMMIT;")
    except (sqlite3.Error, OSError) as error:
        reason = "another monitor uses it" if "locked" in str(error) else str(error)
        raise UnusableError(f"cannot keep the ledger in {path}: {reason}") from error
    return db


def _bounded(
    known: dict[Identity, AlertDocument | None],
) -> dict[Identity, AlertDocument | None]:
    """Without the oldest that are over, if there are too many."""
    over = sorted((key for key, said in known.items() if said is None), key=lambda key: key.clock)
    for key in over[: max(0, len(known) - ALERTS_PER_RUN)]:
        del known[key]
    return known


def _json(said: AlertDocument) -> str:
    return json.dumps(said, allow_nan=False)
