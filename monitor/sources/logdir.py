"""Log directories: which runs and event files are in them, and what is new in these.

Names are TensorBoard's: an event file has ``tfevents`` in its name, and a run is a directory
with event files, named by its path relative to the root.
"""
# Directories may hold 100,000 entries, so paths stay strings here:
# ruff: noqa: PTH119, PTH120

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from monitor.points import Batch
from monitor.sources.cursor import Counters, Cursor, QuietOf
from monitor.sources.scan import Root, Scan, inside, is_event_file, text_of, walk_root
from monitor.sources.store import Store, StoredFile, StoreError, StoreUrl, fetch_all
from monitor.sources.tail import LocalFile, Medium

IDLE_AFTER_SECONDS = 10.0
SWEEP_AT_LEAST_SECONDS = 4.0
SWEEP_PAUSES = 400
"""Idle files are looked at for a quarter percent of the time, and at least every four seconds."""
FORGET_AFTER_SECONDS = 300.0
"""A file that is gone is forgotten after so long: file servers lose sight of files for moments,
and people move directories."""


class LogDirs:
    """All event files below ``roots``; a root may also be one event file.

    A root that does not exist is a problem, not an error: it may come.
    """

    def __init__(self, roots: Sequence[Root], forget_after: float = FORGET_AFTER_SECONDS) -> None:
        self.stats = Counters()
        self._forget_after = forget_after
        self._roots = tuple(roots)
        self._stores: dict[int, Store] = {}
        self._cursors: dict[str, Cursor] = {}
        self._generations: dict[str, int] = {}
        self._names: dict[tuple[int, str], str] = {}  # (root, directory) -> run
        self._taken: set[str] = set()
        self._order: dict[str, list[str]] = {}
        self._problems: dict[str, str] = {}
        self._lively: set[str] = set()  # runs with a file that may have grown a moment ago
        self._sweep_at, self._sweeping, self._cost = 0.0, False, 0.0
        self._queue: deque[str] = deque()  # runs that the present pass has still to look at
        self._behind = False
        self.more = False
        """Whether the last pass has left something that is known to be there."""

    @property
    def runs(self) -> AbstractSet[str]:
        """Names of the runs that have an event file."""
        return self._order.keys()

    def directory(self, run: str) -> Path | None:
        """Where a run's files are; None if that is not on this machine. For any thread."""
        for path in self._order.get(run, ()):
            cursor = self._cursors.get(path)
            if cursor is not None and isinstance(cursor.medium, LocalFile):
                return Path(os.path.dirname(path))
        return None

    def written(self, run: str) -> float:
        """When a run's files were last written to, as far as this machine can tell: seconds since
        the epoch.
        """
        return max((cursor.written for cursor in self._of(self._order.get(run, ()))), default=0.0)

    @property
    def files(self) -> int:
        """How many event files there are."""
        return len(self._cursors)

    @property
    def backlog(self) -> int:
        """Bytes known to be there and not read."""
        return sum(cursor.backlog for cursor in self._cursors.values())

    @property
    def problems(self) -> Mapping[str, str]:
        """Path -> what is wrong with it now, in one line."""
        unreadable = {
            path: f"cannot read {path}: {cursor.problem}"
            for path, cursor in self._cursors.items()
            if cursor.problem is not None
        }
        return {**self._problems, **unreadable}

    # --- discovery ----------------------------------------------------------------------

    def rescan(self) -> None:
        """Walks the directories: takes up new event files, lets go of those that are gone."""
        scan = Scan()
        for index, root in enumerate(self._roots):
            if isinstance(root, StoreUrl):
                self._list_store(scan, index, root)
            else:
                walk_root(scan, index, root)
        self._problems = scan.problems
        now, before = time.monotonic(), self._cursors.copy()
        for path in self._cursors.keys() & scan.files.keys():
            self._cursors[path].gone_at = None
        for path in self._cursors.keys() - scan.files.keys():
            if not any(inside(path, directory) for directory in scan.unlisted):
                self._miss(path, now)
        for path, (index, directory) in scan.files.items():
            if path not in self._cursors:
                self._take_up(path, index, directory)
        if self._cursors.keys() != before.keys():
            self._arrange()

    def _list_store(self, scan: Scan, index: int, url: StoreUrl) -> None:
        try:
            store = self._stores.get(index) or self._stores.setdefault(index, Store(url))
            for path in store.listing():
                if is_event_file(os.path.basename(path)):
                    scan.files[f"{url}/{path}"] = index, os.path.dirname(path) or "."
        except StoreError as error:
            scan.problems[str(url)] = str(error.strerror)
            scan.unlisted.append(str(url))

    def _miss(self, path: str, now: float) -> None:
        cursor = self._cursors[path]
        if cursor.gone_at is None:
            cursor.gone_at = now
        if now - cursor.gone_at >= self._forget_after:
            # Should it come back, it is another file, and must not pass for the same one.
            self._generations[path] = self._cursors.pop(path).generation + 1

    def sizes(self) -> dict[str, int]:
        """Path -> bytes of every file as it is now."""
        return {path: cursor.size() for path, cursor in self._cursors.items()}

    def reached(self, sizes: Mapping[str, int]) -> bool:
        """Whether all files have been read up to what :meth:`sizes` once said."""
        return all(
            cursor.offset >= sizes[path] or cursor.problem is not None
            for path, cursor in self._cursors.items()
            if path in sizes
        )

    def run_sizes(self) -> dict[str, int]:
        """Run -> bytes of all its files that are not read yet, of runs that can be split off."""
        return {
            run: sum(max(0, cursor.size() - cursor.offset) for cursor in self._of(paths))
            for run, paths in self._order.items()
            if all(isinstance(cursor.medium, LocalFile) for cursor in self._of(paths))
        }

    def split(self, parts: Sequence[Sequence[str]]) -> list[LogDirs]:
        """The files of some runs apart, for other processes to read; put_back brings them back."""
        return [self._without(runs) for runs in parts]

    def _without(self, runs: Sequence[str]) -> LogDirs:
        part = LogDirs(self._roots, self._forget_after)
        for run in runs:
            part._order[run] = self._order.pop(run)
            for path in part._order[run]:
                part._cursors[path] = self._cursors.pop(path)
                part._cursors[path].count_in(part.stats)
        return part

    def put_back(self, part: LogDirs) -> None:
        """What :meth:`split` has taken away, read by now."""
        self.stats.add(part.stats)
        for cursor in part._cursors.values():
            cursor.count_in(self.stats)
        self._cursors.update(part._cursors)
        self._lively |= part._lively
        self._order = dict(sorted((self._order | part._order).items()))

    def _of(self, paths: Sequence[str]) -> Iterator[Cursor]:
        return map(self._cursors.__getitem__, paths)

    def _take_up(self, path: str, index: int, directory: str) -> None:
        run = self._name(index, directory)
        file = os.path.basename(path)
        name = text_of(file if directory == "." else f"{directory}/{file}")
        generation = self._generations.pop(path, 1)
        store = self._stores.get(index)
        medium: Medium = LocalFile(Path(path)) if store is None else StoredFile(store, name)
        cursor = Cursor(medium, run, name, self.stats, generation)
        cursor.active_at = time.monotonic()
        self._lively.add(run)
        self._cursors[path] = cursor

    def _name(self, index: int, directory: str) -> str:
        """The run's name, which it keeps for as long as it exists."""
        name = self._names.get((index, directory))
        if name is None:
            name = text_of(directory)
            if name in self._taken:
                root = str(self._roots[index])
                name = text_of(root if directory == "." else f"{root}/{directory}")
            self._names[index, directory] = name
            self._taken.add(name)
        return name

    def _arrange(self) -> None:
        """Runs by name, the files of each by name: they begin with their time of birth."""
        order: dict[str, list[str]] = {}
        for path in sorted(self._cursors, key=os.path.basename):
            order.setdefault(self._cursors[path].run, []).append(path)
        self._order = dict(sorted(order.items()))
        self._names = {place: run for place, run in self._names.items() if run in order}
        self._taken = set(self._names.values())
        if len(self._generations) > len(self._cursors) + 10_000:
            self._generations.clear()

    # --- reading ------------------------------------------------------------------------

    def read(
        self,
        limit: int = 1 << 20,
        final: bool = False,
        at_most: int | None = None,
        quiet: QuietOf | None = None,
    ) -> list[Batch]:
        """One pass over the files that have grown, of each at most ``limit`` bytes.

        Nothing means that nothing is known to be left. A run's later file waits until its
        earlier ones are read to the end, so that catching up shows what a live reader saw.
        ``final`` says that the files will not grow: bad bytes at their ends are called corrupt
        at once. After ``at_most`` batches, or a few more, the pass is interrupted; the next call
        goes on with it. What is of no interest by ``quiet`` may be left for a later pass.
        """
        while True:
            batches: list[Batch] = []
            for read in self._pass(limit, final, quiet):
                batches += read
                if at_most is not None and len(batches) >= at_most:
                    break
            self.more = bool(self._queue) or self._behind
            if batches or not self._behind:
                return batches

    def sweep(self) -> None:
        """The next pass looks at every file, whether or not it is time for that."""
        self._sweep_at = 0.0
        self._queue.clear()

    def _pass(self, limit: int, final: bool, quiet: QuietOf | None) -> Iterator[list[Batch]]:
        """What each file gives; lazily: what is not asked for is not looked at."""
        now = time.monotonic()
        if self._stores:
            self._fetch(limit)
        if not self._queue or (final and not self._sweeping):
            self._sweeping = final or now >= self._sweep_at
            self._queue = deque(self._order if self._sweeping else sorted(self._lively))
            self._behind, self._cost = False, 0.0
        began = time.thread_time()  # the cost is that of looking only
        while self._queue:
            grown = self._grown(self._queue.popleft(), now)
            if not grown:
                continue
            self._cost += time.thread_time() - began
            # All of a run or nothing: its files are joined by time.
            if quiet is None or not all(_can_wait(cursor, quiet, now) for cursor in grown):
                yield from self._read_run(grown, limit, final, now)
            began = time.thread_time()
        self._cost += time.thread_time() - began
        if self._sweeping:
            # One busy file may wake the daemon many times a second. So that it does not ask for
            # the status of thousands of idle ones each time, these wait in proportion to that.
            self._sweep_at = now + min(SWEEP_AT_LEAST_SECONDS, SWEEP_PAUSES * self._cost)

    def _read_run(
        self, grown: Sequence[Cursor], limit: int, final: bool, now: float
    ) -> Iterator[list[Batch]]:
        """What the files of one run give; first those of which something has waited."""
        for cursor in sorted(grown, key=_waits_not):
            batches = cursor.read(limit, final)
            self._behind = self._behind or cursor.backlog > 0
            if batches:
                cursor.active_at = now
            if batches or cursor.backlog:
                self._lively.add(cursor.run)
            if batches:
                yield batches
            if cursor.backlog:
                break

    def _grown(self, run: str, now: float) -> list[Cursor]:
        """Files of a run that have something to read."""
        cursors = list(self._of(self._order.get(run, ())))
        lively = [c for c in cursors if now - c.active_at < IDLE_AFTER_SECONDS or c.backlog]
        if not lively:
            self._lively.discard(run)
        return [cursor for cursor in (cursors if self._sweeping else lively) if cursor.look()]

    def _fetch(self, limit: int) -> None:
        """Of every run in a store the next piece, all at the same time."""
        wanted = []
        for paths in self._order.values():
            first = next((c for c in self._of(paths) if c.look()), None)
            if first is not None and isinstance(first.medium, StoredFile):
                wanted.append((first.medium, first.wanted(limit)))
        fetch_all(wanted)


def _waits_not(cursor: Cursor) -> bool:
    return not cursor.waits


def _can_wait(cursor: Cursor, quiet: QuietOf, now: float) -> bool:
    """See :meth:`Cursor.can_wait`; a store is asked for everything once only."""
    return isinstance(cursor.medium, LocalFile) and cursor.can_wait(quiet, now)
