"""Makes the runs that are missing, in parallel; a finished run is made again only when its code
has changed."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import torch

from tests.zoo.kinds import Kind, kinds
from tests.zoo.script import Note, Script
from tests.zoo.source import fingerprint

NOTE = "note.json"
PLACE = Path(".zoo")


@dataclass(frozen=True)
class Recorded:
    """One run on the disk."""

    kind: Kind
    seed: int
    place: Path
    note: Note


def place_of(root: Path, kind: Kind, seed: int) -> Path:
    """Where a run is kept."""
    return root / kind.name / f"seed{seed}"


def recorded(root: Path, kind: Kind, seed: int) -> Recorded | None:
    """The run, if it is there and its code is still the same."""
    place = place_of(root, kind, seed)
    try:
        found = json.loads((place / NOTE).read_text())
    except (OSError, ValueError):
        return None
    if found.pop("code", None) != fingerprint(kind):
        return None
    found.pop("seconds", None)
    return Recorded(kind, seed, place, Note(**found))


def record(root: Path, kind: Kind, seed: int) -> Recorded:
    """Makes a run; its note is written last, so that half a run is never taken for a whole one."""
    place = place_of(root, kind, seed)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    begin = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), Script(place, seed, kind.hook) as script:
            warnings.simplefilter("ignore")  # the scripts' own mistakes are the point
            kind.recipe(script)
    finally:
        torch.set_num_threads(threads)
    known = {**asdict(script.note), "code": fingerprint(kind)}
    known["seconds"] = round(time.perf_counter() - begin, 2)
    (place / NOTE).write_text(json.dumps(known, indent=1) + "\n")
    return Recorded(kind, seed, place, script.note)


def _record_named(root: Path, name: str, seed: int) -> str:
    """In a process of its own, which imports the recipes itself."""
    try:
        record(root, kinds()[name], seed)
    except Exception as error:
        return f"{name}, seed {seed}: {type(error).__name__}: {error}"
    return ""


def complete(
    root: Path,
    some: Sequence[Kind],
    seeds: Sequence[int],
    jobs: int,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> list[str]:
    """Makes what is missing; says of each run that could not be made why."""
    missing = [
        (kind.name, seed) for seed in seeds for kind in some if not recorded(root, kind, seed)
    ]
    work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    problems: Iterator[str] = work(
        joblib.delayed(_record_named)(root, name, seed) for name, seed in missing
    )
    failed = []
    for i, problem in enumerate(problems if missing else ()):
        told(i + 1, len(missing))
        if problem:
            failed.append(problem)
    return failed
