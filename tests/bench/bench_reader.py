"""How fast event files are read, beside the readers that there are.

    python -m tests.bench.bench_reader [--events N] [--slice N] [--rounds N] [--file PATH]...

Each reader has a process of its own, the readers take turns, and the medians of CPU seconds over
all rounds are compared. Of Python readers the interpreter's start and the imports are left out,
ours and theirs alike. Of rustboard (TensorBoard's data server in Rust) everything counts, for
its start cannot be told apart; what it costs by itself is printed. It is asked whether it is
done only when its clock stands still, because the answer costs it much. Two readers are so slow
that they get only the beginning of each file: their rate does not hang on the length.

An event is a record of the file, whatever is in it. Every reader verifies payloads' checksums,
but for rustboard as it comes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from monitor.parallel import READ_BYTES
from tests.bench import recordfiles, rustboard
from tests.bench.measure import MB, cpu_of, percentile

OURS = {"columns": "ours, columns", "rules": "ours, all rules"}
SLOW = {"EventAccumulator": "EventAccumulator", "tbparse": "tbparse"}
ALL, SAMPLED = "rustboard, all scalars", "rustboard, sampled + checksum"
FLAGS = {ALL: ("--samples-per-plugin=scalars=all",), SAMPLED: ("--checksum",)}


@dataclass
class File:
    """One file to read, alone in a directory, and its beginning in another."""

    name: str
    whole: Path
    part: Path
    events: int
    part_events: int
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Reader -> what it measured in each round."""

    def typical(self, reader: str, what: str) -> float:
        return statistics.median(float(run[what]) for run in self.runs[reader])

    def rate(self, reader: str) -> float:
        """Events per CPU second."""
        events = self.part_events if reader in SLOW.values() else self.events
        return events / self.typical(reader, "cpu")


def made(directory: Path, kind: str, events: int, part: int) -> File:
    whole = directory / kind / f"events.out.tfevents.{kind}"
    recordfiles.write(whole, kind, events)
    return given(directory, whole, part, kind)


def given(directory: Path, path: Path, part: int, kind: str = "") -> File:
    """A file as it is, linked or made, and its beginning."""
    # EventAccumulator takes a directory with "tfevents" in its name for a file.
    name = kind or f"given{len(list(directory.iterdir()))}"
    whole, beginning = directory / name, directory / f"{name}.part"
    if not kind:
        whole.mkdir()
        (whole / f"tfevents.{path.name}").symlink_to(path.resolve())
    beginning.mkdir()
    data, part_events = recordfiles.beginning(path, part)
    (beginning / "events.out.tfevents.part").write_bytes(data)
    events = recordfiles.beginning(path, sys.maxsize)[1]
    return File(kind or path.name[-60:], whole, beginning, events, part_events)


def python(reader: str, directory: Path) -> dict[str, Any]:
    """One of the Python readers, in a fresh process."""
    command = [sys.executable, "-m", "tests.bench.readers", reader, directory, READ_BYTES]
    done = subprocess.run(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed; run it by itself to see why")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def one_round(file: File, last: Mapping[str, int]) -> None:
    """Every reader once."""
    for reader, name in OURS.items():
        file.runs.setdefault(name, []).append(python(reader, file.whole))
    for name, flags in FLAGS.items():
        file.runs.setdefault(name, []).append(rustboard.read(file.whole, last, *flags))
    for reader, name in SLOW.items():
        file.runs.setdefault(name, []).append(python(reader, file.part))


def show(console: Console, file: File, bare: float, with_numpy: float) -> None:
    """The table of one file."""
    table = Table(title=f"{file.name}: {file.events:,} events, slow readers {file.part_events:,}")
    table.add_column("reader", no_wrap=True)
    for head in ("k ev/s", "us/event", "x sampled", "x Accum.", "peak MB", "above bare"):
        table.add_column(head, justify="right")
    table.add_column("above numpy", justify="right")
    slowest = file.rate(SLOW["EventAccumulator"])
    for name in (*OURS.values(), *FLAGS, *SLOW.values()):
        rate, peak = file.rate(name), file.typical(name, "peak")
        ratios = rate / file.rate(SAMPLED), rate / slowest
        row = [f"{rate / 1000:.0f}", f"{1e6 / rate:.2f}", *(f"{ratio:.2f}" for ratio in ratios)]
        above = (
            ["", ""] if name in FLAGS else [f"{(peak - m) / MB:.0f}" for m in (bare, with_numpy)]
        )
        table.add_row(name, *row, f"{peak / MB:.0f}", *above)
    console.print(table)
    share = file.rate(OURS["rules"]) / file.rate(OURS["columns"])
    console.print(f"with all default rules we have {share:.2f} of the reader's speed")


def disagreements(file: File) -> list[str]:
    """What should be the same for all readers and is not."""
    columns, rules = (file.runs[name][0] for name in OURS.values())
    part = python("columns", file.part)
    same = {
        "records, columns and rules": (columns["records"], rules["records"]),
        "records, columns and the file": (columns["records"], file.events),
        f"points of {ALL}": (columns["points"], int(file.typical(ALL, "points"))),
        **{
            f"points of {name}": (part["points"], int(file.typical(name, "points")))
            for name in SLOW.values()
        },
        "corrupt": (columns["corrupt"], 0),
    }
    return [f"{file.name}: {what}: {a} and {b}" for what, (a, b) in same.items() if a != b]


def show_live(console: Console, file: File) -> None:
    found = python("live", file.part)
    if not found["file"]:
        return  # It is too short.
    for what, text in (("file", "through a Cursor"), ("memory", "from bytes in memory")):
        typical, worst = (percentile(found[what], p) for p in (50, 99))
        console.print(
            f"live reads of 20 records of {file.name}, {text}: "
            f"{typical:.2f} us/event median, {worst:.2f} p99 ({len(found[what])} reads)"
        )


def rustboards_start(directory: Path) -> float:
    """CPU seconds of a rustboard that has nothing to read."""
    (directory / "nothing").mkdir()
    with rustboard.serving(directory / "nothing") as server:
        server.last_steps()
        return cpu_of(server.process.pid)


def show_notes(console: Console, file: File, rounds: int, start: float, bare: float) -> None:
    """What the tables count and what not."""
    starts = {name: file.typical(name, "startup") for name in (*OURS.values(), *SLOW.values())}
    console.print(
        f"k ev/s: thousand events per CPU second; medians of {rounds} rounds. "
        "Not counted, CPU seconds to start and import: "
        + ", ".join(f"{name} {seconds:.2f}" for name, seconds in starts.items())
        + f". Counted: rustboard's start, {1000 * start:.0f} ms.\n"
        f"x sampled: ratio to {SAMPLED}. MB above a bare interpreter ({bare / MB:.0f}), which "
        "has loaded nothing, and above one that has loaded numpy."
    )


def compare(options: argparse.Namespace, directory: Path) -> list[str]:
    """Prints the tables; what the readers do not agree on."""
    console = Console(width=110, highlight=False)
    files = [given(directory, path, options.slice) for path in options.file] or [
        made(directory, kind, options.events, options.slice) for kind in recordfiles.KINDS
    ]
    lasts = [python("columns", file.whole)["last"] for file in files]
    for _ in range(options.rounds):
        for file, last in zip(files, lasts, strict=True):
            one_round(file, last)
    start = rustboards_start(directory)
    (directory / "empty").mkdir()
    bare, with_numpy = (
        python(reader, directory / "empty")["peak"] for reader in ("interpreter", "numpy")
    )
    for file in files:
        show(console, file, bare, with_numpy)
        show_live(console, file)
    show_notes(console, files[0], options.rounds, start, bare)
    return [line for file in files for line in disagreements(file)]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=500_000, help="events in each made file")
    parser.add_argument("--slice", type=int, default=50_000, help="events for slow readers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--file", type=Path, action="append", default=[], help="this file instead of made ones"
    )
    options = parser.parse_args()
    if missing := [str(path) for path in options.file if not path.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as directory:
        try:
            wrong = compare(options, Path(directory))
        except rustboard.ServerError as error:
            sys.exit(f"bench_reader: {error}")
    print("\n".join(wrong) or "all readers agree on the number of points")
    if wrong and not options.file:
        sys.exit(1)


if __name__ == "__main__":
    main()
