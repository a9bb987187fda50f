"""Starts and ends the writers of :mod:`tests.bench.load`."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import cpu_of


@dataclass
class Load:
    """A running writer."""

    process: subprocess.Popen[str]
    poisoned: dict[str, float] = field(default_factory=dict)
    """Run -> when its NaN had been written, in seconds since the epoch."""
    points: int = 0
    """How many it wrote in all, and in how many seconds; known when it has ended."""
    seconds: float = 0.0
    _reader: threading.Thread | None = None

    def start(self) -> None:
        """Waits until all its files are there, then listens to it."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the writer did not start")
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, *numbers = line.split()
            if word == "written":
                self.points, self.seconds = int(numbers[0]), float(numbers[1])
            else:
                self.poisoned[word] = float(numbers[0])

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_of(self.process.pid)

    def stop(self) -> None:
        """Has it end; afterwards all it wrote is in the files and counted."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        if self._reader is not None:
            self._reader.join()


@contextmanager
def loading(directory: Path, *arguments: object) -> Iterator[Load]:
    """A writer with these arguments, until the block is left or it is stopped."""
    command = [sys.executable, "-m", "tests.bench.load", directory, *arguments]
    process = subprocess.Popen(
        [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    load = Load(process)
    try:
        load.start()
        yield load
    finally:
        load.stop()
        assert process.stdout is not None
        process.stdout.close()
