"""A process that writes live runs at a steady rate, as cheaply as it can.

    python -m tests.bench.load DIRECTORY --runs N --rate R --tags T --style S [--nan SECONDS]

R points a second in all, its steps spread evenly over time and runs.

``--style each``: opens, appends and closes for every event, as torch's SummaryWriter does
without TensorFlow; ``step``: a file stays open, all tags of a step in one write; ``buffered``:
the same, but a buffer goes to the file ten times a second.

``--nan``: every so many seconds one more run's loss is NaN for one step, and a line on standard
output says which and when it had been written: ``RUN SECONDS`` since the epoch. Ends when its
standard input does.
"""

from __future__ import annotations

import argparse
import random
import select
import sys
import time
from io import FileIO
from pathlib import Path

from tests.bench.recordfiles import TRAIN, series

BUFFER_SECONDS = 0.1
NAN = float("nan")


class Writer:
    """One run: writes whole steps, in one of the styles."""

    def __init__(self, directory: Path, tags: int, style: str) -> None:
        self._path = directory / f"events.out.tfevents.{int(time.time())}.bench"
        directory.mkdir(parents=True)
        names = [*TRAIN, *(f"metrics/m{i}" for i in range(tags - len(TRAIN)))][:tags]
        self._makers = [series(name) for name in names]
        self._style = style
        self._step = 0
        self._chance = random.Random(str(directory))
        self._waiting: list[bytes] = []
        self._flushed = 0.0
        self._file = None if style == "each" else FileIO(self._path, "a")

    def write(self, poison: bool = False) -> None:
        """One step; the loss, the first tag, is NaN if it is to be poisoned."""
        now = time.time()
        for i, make in enumerate(self._makers):
            value = (1 + self._step / 100) ** -0.3 + 0.02 * self._chance.random()
            self._put(make(now, self._step, NAN if poison and i == 0 else value))
        self._step += 1
        if self._style == "step" or now - self._flushed >= BUFFER_SECONDS:
            self._flush(now)

    def _put(self, record: bytes) -> None:
        if self._file is None:
            with FileIO(self._path, "a") as file:
                file.write(record)
        else:
            self._waiting.append(record)

    def _flush(self, now: float) -> None:
        self._flushed = now
        if self._file is not None:
            self._file.write(b"".join(self._waiting))
            self._waiting.clear()


def main() -> None:
    """Writes until standard input is closed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--tags", type=int, default=5)
    parser.add_argument("--style", choices=["each", "step", "buffered"], default="step")
    parser.add_argument("--nan", type=float, default=0.0)
    options = parser.parse_args()
    names = [f"run{options.first + i:04d}" for i in range(options.runs)]
    writers = [Writer(options.directory / name, options.tags, options.style) for name in names]
    for writer in writers:
        writer.write()
    print("ready", flush=True)
    pause = options.tags / options.rate
    begin, steps, poisoned = time.monotonic(), 0, set[int]()
    while not select.select([sys.stdin], [], [], max(0.0, _until(begin + steps * pause)))[0]:
        while _until(begin + steps * pause) <= 0:
            which = steps % options.runs
            ill = bool(options.nan) and (time.monotonic() - begin) // options.nan > len(poisoned)
            # Once each: while its alert is firing, a run's second NaN is no news.
            ill = ill and which not in poisoned
            writers[which].write(ill)
            if ill:
                print(names[which], time.time(), flush=True)
                poisoned.add(which)
            steps += 1
    print("written", (steps + options.runs) * options.tags, time.monotonic() - begin, flush=True)


def _until(due: float) -> float:
    return due - time.monotonic()


if __name__ == "__main__":
    main()
