"""Catching up by several processes: each reads some of the runs, and what it made of them is
taken over. Runs are independent, so the outcome is the same.

By joblib, so that whoever sets another backend for it (Dask, Ray) reads an archive on a cluster.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence

from monitor.engine import Engine
from monitor.rules import RuleSet
from monitor.sources.logdir import LogDirs

LEAST_BYTES = 256 << 20
"""Below this one process has read everything before others have started."""
PART_BYTES = 32 << 20
"""A part is at least so large, if there are enough runs: parts are what progress is made of."""
READ_BYTES = 2 << 20
"""At most so much of one file in one pass: a huge file does not keep the others waiting."""


def processes(sizes: Mapping[str, int], share: float) -> int:
    """How many processes are worth while for runs of these ``sizes`` in bytes.

    At most ``share`` of the cores of joblib's backend: those that this process may use, its
    container's limit included, or those of the cluster that somebody has set.
    """
    total = sum(sizes.values())
    if total < LEAST_BYTES or len(sizes) < 2:
        return 1
    import joblib

    # One run is read by one process: its files depend on each other.
    spread = -(-total // max(PART_BYTES, *sizes.values()))
    return max(1, min(int(share * joblib.effective_n_jobs(-1)), len(sizes), spread))


def parts(sizes: Mapping[str, int], jobs: int) -> list[list[str]]:
    """The runs in parts of about equal bytes, the largest part first."""
    count = max(jobs, min(len(sizes), sum(sizes.values()) // PART_BYTES))
    heap: list[tuple[int, int, list[str]]] = [(0, i, []) for i in range(count)]
    for run, size in sorted(sizes.items(), key=lambda item: -item[1]):
        total, i, runs = heapq.heappop(heap)
        runs.append(run)
        heapq.heappush(heap, (total + size, i, runs))
    return [runs for _, _, runs in sorted(heap, reverse=True) if runs]


def read_to_the_end(dirs: LogDirs, engine: Engine, final: bool) -> Iterator[frozenset[str]]:
    """Pass after pass; names of the runs that have changed. See :meth:`Follower.catch_up`."""
    there = dirs.sizes()
    while batches := dirs.read(READ_BYTES, final):
        for batch in batches:
            engine.feed(batch)
        yield frozenset(batch.run for batch in batches)
        # A thousand runs that go on would never let it end.
        if not final and not dirs.more and dirs.reached(there):
            return


def read_parts(
    some: Sequence[LogDirs], rules: RuleSet, final: bool, jobs: int, nice: int
) -> Iterator[tuple[LogDirs, Engine]]:
    """Each part read to its end, as they are done."""
    import joblib
    from joblib.externals.loky import get_reusable_executor
    from joblib.parallel import BACKENDS, get_active_backend

    ours = isinstance(get_active_backend()[0], BACKENDS["loky"])
    work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    try:
        yield from work(joblib.delayed(_read_part)(part, rules, final, nice) for part in some)
    finally:
        # Processes that wait for more to do keep their memory. A cluster is not ours to end.
        if ours:
            get_reusable_executor(max_workers=jobs).shutdown(kill_workers=True)


def _read_part(dirs: LogDirs, rules: RuleSet, final: bool, nice: int) -> tuple[LogDirs, Engine]:
    if nice > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    engine = Engine(rules)
    for _ in read_to_the_end(dirs, engine, final):
        pass
    return dirs, engine
