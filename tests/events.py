"""Writes event files with TensorBoard's own writer, for tests of the whole program."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

proto = pytest.importorskip("tensorboard.compat.proto.event_pb2")
summary = pytest.importorskip("tensorboard.compat.proto.summary_pb2")
writers = pytest.importorskip("tensorboard.summary.writer.event_file_writer")


class Run:
    """A training run as the monitor sees it: an event file that grows."""

    def __init__(self, directory: Path, suffix: str = "") -> None:
        self._writer = writers.EventFileWriter(str(directory), filename_suffix=suffix)
        self.step = 0

    def log(self, wall_time: float | None = None, **scalars: float) -> None:
        """Writes one step; ``__`` in a name stands for ``/``."""
        values = [
            summary.Summary.Value(tag=name.replace("__", "/"), simple_value=value)
            for name, value in scalars.items()
        ]
        event = proto.Event(
            wall_time=time.time() if wall_time is None else wall_time,
            step=self.step,
            summary=summary.Summary(value=values),
        )
        self._writer.add_event(event)
        self.step += 1

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def write_run(
    directory: Path,
    scalars: Mapping[str, Sequence[float]],
    begin: float = 1.7e9,
    pause: float = 1.0,
) -> None:
    """A finished run: one event a step, ``pause`` seconds apart."""
    run = Run(directory)
    for step, row in enumerate(zip(*scalars.values(), strict=True)):
        run.log(begin + pause * step, **dict(zip(scalars, row, strict=True)))
    run.close()


NAN = float("nan")


def falling(n: int = 200) -> list[float]:
    """A loss that falls as it should, with a little noise that is the same every time."""
    return [0.2 + 2.0 * 0.98**i + 0.01 * ((i * 7919) % 13 - 6) / 6 for i in range(n)]


def nan_at(step: int, n: int = 200) -> list[float]:
    """The same, but NaN from ``step`` on."""
    return [value if i < step else NAN for i, value in enumerate(falling(n))]
