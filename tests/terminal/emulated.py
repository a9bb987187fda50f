"""The real command at a pseudo-terminal, whose screen is read by an emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pyte: Any = pytest.importorskip("pyte")
PATIENCE_SECONDS = 60.0


class Terminal:
    """A screen, and the program that draws on it."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes], size: tuple[int, int]):
        self.process = process
        self.raw = b""
        self._descriptor = descriptor
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def modes(self) -> list[Any]:
        """Of the terminal itself: echo, line by line, ..."""
        return termios.tcgetattr(self._descriptor)

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def resize(self, width: int, height: int) -> None:
        self._screen.resize(height, width)
        resize(self._descriptor, (width, height))
        self.process.send_signal(signal.SIGWINCH)

    def until(self, condition: Callable[[], object]) -> None:
        """Draws what comes until the condition holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"in vain:\n{self.text}"
            self.draw(0.1)

    def draw(self, seconds: float) -> None:
        """Takes what has been drawn meanwhile."""
        if select.select([self._descriptor], [], [], seconds)[0]:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except OSError:  # the program has ended
                return
            self.raw += data
            self._stream.feed(data)

    def ended(self) -> int:
        """The exit status, all that was drawn read."""
        self.until(lambda: self.process.poll() is not None)
        self.draw(0.2)
        assert self.process.returncode is not None
        return self.process.returncode


def resize(descriptor: int, size: tuple[int, int]) -> None:
    packed = struct.pack("HHHH", size[1], size[0], 0, 0)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, packed)


@contextmanager
def terminal(
    *arguments: str | Path,
    size: tuple[int, int] = (100, 30),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """``monitor ARGUMENTS`` at a terminal of ``size`` (width, height)."""
    outer, inner = pty.openpty()
    resize(outer, size)
    known = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", *map(str, arguments)],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={**known, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **(environment or {})},
        start_new_session=True,
    )
    try:
        yield Terminal(outer, process, size)
    finally:
        process.kill()
        process.wait()
        os.close(inner)
        os.close(outer)
