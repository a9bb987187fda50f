"""Single keys from a terminal, without waiting for the end of a line."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|.", re.DOTALL)
_NAMES = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[5~": "pageup",
    "\x1b[6~": "pagedown",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}


class Keys:
    """Reads keys from standard input; a context that leaves the terminal as it was.

    Where standard input is no terminal, or the platform knows no such thing, no key is ever
    pressed.
    """

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else -1
        self._before: list[Any] | None = None

    def __enter__(self) -> Keys:
        try:
            import termios
            import tty
        except ImportError:
            self._descriptor = -1
        else:
            if self._descriptor >= 0:
                self._before = termios.tcgetattr(self._descriptor)
                tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> Sequence[str]:
        """The keys pressed within that time, as soon as there are any."""
        watched = [self._descriptor] if self._descriptor >= 0 else []
        if not select.select(watched, [], [], seconds)[0]:
            return ()
        pressed = os.read(self._descriptor, 256)
        if not pressed:  # the terminal is gone
            return ("q",)
        return named(pressed)


def named(pressed: bytes) -> list[str]:
    """Names of keys, or the characters typed; sequences that mean nothing here are left out."""
    text = pressed.decode("utf-8", "ignore")
    found = (_NAMES.get(key, key) for key in _KEY.findall(text))
    return [key for key in found if key in _NAMES.values() or (len(key) == 1 and key.isprintable())]
