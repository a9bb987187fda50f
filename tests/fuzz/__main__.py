"""Damages event files and sees whether the reader copes.

    python -m tests.fuzz --files 100000 [--seed S] [--jobs N] [--keep DIRECTORY]
    python -m tests.fuzz --replay FILE
    python -m tests.fuzz --atheris SECONDS

File number i of seed S is always the same, whatever the number of jobs. Of every file that fails
a small form is kept, and the command that tries it again is printed; the exit status is 1.
``--atheris`` lets coverage guide the damage, in one process; it needs the extra ``fuzz``.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import random
import sys
import time
from pathlib import Path

TOLD = 20
"""Failures that are shrunk and told in full; of further ones only how many."""


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Damages event files; sees if the reader copes."
    )
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), metavar="DIRECTORY")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    parser.add_argument("--atheris", type=int, metavar="SECONDS")
    options = parser.parse_args()
    if options.atheris is not None:
        from tests.fuzz.guided import run

        return run(options.atheris, options.keep)
    if options.replay is not None:
        return replay(options.replay)
    last = options.first + options.files
    numbers = [(options.seed, i) for i in range(options.first, last)]
    return campaign(numbers, options.jobs, options.keep)


def replay(path: Path) -> int:
    """Tries a kept case again."""
    from tests.fuzz.cases import judge
    from tests.fuzz.shrink import load

    kept = load(path)
    verdict = judge(kept)
    print(f"{len(kept.mutant)} bytes, {verdict.intact} intact records, {list(kept.damage)}")
    print(f"WRONG: {verdict.wrong}" if verdict.wrong else "all is right")
    return int(verdict.wrong is not None)


def one(number: tuple[int, int]) -> tuple[tuple[int, int], str | None, collections.Counter[str]]:
    """Tries one file: what is wrong with it, and what it adds to the statistics."""
    from tests.fuzz.cases import case, judge

    tested = case(random.Random(f"{number[0]}/{number[1]}"))
    verdict = judge(tested)
    counts = collections.Counter(tested.damage)
    counts["intact records"] = verdict.intact
    counts["records in blocks"] = verdict.in_blocks
    counts["glances that passed over what there was"] = verdict.glances
    counts["bytes"] = len(tested.mutant)
    counts["damaged files"] = bool(tested.damage)
    return number, verdict.wrong, counts


def campaign(numbers: list[tuple[int, int]], jobs: int, keep: Path) -> int:
    """Tries all of them, and says what came of it."""
    begin, counts, failed = time.monotonic(), collections.Counter[str](), 0
    with multiprocessing.Pool(jobs) as pool:
        for done, (number, wrong, more) in enumerate(pool.imap(one, numbers, 50), 1):
            counts.update(more)
            if wrong is not None:
                failed += 1
                if failed <= TOLD:
                    tell(number, wrong, keep)
            if done % 10_000 == 0:
                print(f"{done:,} files, {time.monotonic() - begin:.0f} s", flush=True)
    print(f"{len(numbers):,} files in {time.monotonic() - begin:.0f} s: {failed} failed")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
    return int(failed > 0)


def tell(number: tuple[int, int], wrong: str, keep: Path) -> None:
    """Keeps a small form of a failure, and says how to try it again."""
    from tests.fuzz.cases import case, judge
    from tests.fuzz.shrink import save, shrunk

    print(f"FAILED: {wrong}")
    print(
        f"  again: python -m tests.fuzz --seed {number[0]} --first {number[1]} --files 1",
        flush=True,
    )
    small = shrunk(case(random.Random(f"{number[0]}/{number[1]}")))
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{number[0]}-{number[1]}.npz"
    save(small, path)
    print(f"  by {list(small.damage)}; as small as it gets: {judge(small).wrong}")
    print(
        f"  small: python -m tests.fuzz --replay {path}   ({len(small.mutant)} bytes)", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
