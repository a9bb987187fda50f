"""``monitor top``: reads what is new and draws it, until a key or a signal says that it is over."""

from __future__ import annotations

import signal
import time
from types import FrameType

from rich.console import Console
from rich.live import Live

from monitor.follower import Follower
from monitor.terminal.keys import Keys
from monitor.terminal.top import State, chosen, press, screen

DRAW_SECONDS = 0.5
RESCAN_SECONDS = 10.0
READ_SECONDS = 0.3
"""So long at most is read between two looks at the keyboard."""


def follow(follower: Follower, console: Console, title: str) -> None:
    """Draws ``follower``'s runs; they have been read up to now."""
    told = Ending()
    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with (
            Keys() as keys,
            Live(console=console, screen=True, auto_refresh=False, transient=True) as live,
        ):
            state, rescan_at = State(), 0.0
            while not (state.over or told.end):
                now = time.monotonic()
                if now >= rescan_at:
                    follower.rescan()
                    follower.tick(time.time())
                    rescan_at = now + RESCAN_SECONDS
                while follower.read() and time.monotonic() < now + READ_SECONDS:
                    pass
                views = list(follower.views.values())
                live.update(
                    screen(state, views, title, time.time(), console.size.height), refresh=True
                )
                for key in keys.wait(DRAW_SECONDS):
                    state = press(state, key, chosen(state, views))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Ending:
    """Notes that a signal came. An exception might be raised where nobody passes it on."""

    def __init__(self) -> None:
        self.end = False

    def __call__(self, _: int, __: FrameType | None) -> None:
        """A handler of signals."""
        if self.end:
            raise KeyboardInterrupt  # asked for twice: something hangs
        self.end = True
