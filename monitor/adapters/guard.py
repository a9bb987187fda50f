"""What every adapter owes to the training around it: no error, and an honest end."""

from __future__ import annotations

import atexit
import functools
import logging
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

from monitor.hook import Handle, watch
from monitor.hook.handle import Silent

log = logging.getLogger("monitor.adapters")

P = ParamSpec("P")

_SAID = 20
"""Different errors of one method that are logged."""


def harmless(method: Callable[P, None]) -> Callable[P, None]:
    """``method``, from which no error gets into training; each is logged once, within limits."""
    said: set[str] = set()

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:  # nothing of ours may end a training run
            text = f"{type(error).__name__}: {error}"
            if text not in said and len(said) < _SAID:
                said.add(text)
                log.warning("%s failed, training goes on: %s", method.__qualname__, text)

    return call


class Watched:
    """A training that is watched from the start that a framework tells of to the end.

    Of some ends frameworks do not tell. A training whose end was never told has not finished,
    even if its process ends well: then nothing says in the stream that it is over.
    """

    def __init__(self) -> None:
        self.health: Handle = Silent()

    def start(self, model: Any, optimizer: Any, **settings: Any) -> None:
        """Watch ``model``; ``settings`` are those of :func:`monitor.watch`."""
        self._abandon()
        self.health = watch(model, optimizer, **settings)
        atexit.register(self._abandon)  # comes before what the hook does at exit

    def end(self) -> None:
        """Training has come to its end."""
        atexit.unregister(self._abandon)
        self.health.close()
        self.health = Silent()

    def fail(self, error: BaseException) -> None:
        """Training was left by an exception; the hook knows which are failures."""
        atexit.unregister(self._abandon)
        self.health.__exit__(type(error), error, error.__traceback__)
        self.health = Silent()

    def _abandon(self) -> None:
        seen = getattr(sys, "last_value", None)  # Ctrl-C, for one
        self.fail(seen or RuntimeError("the training has not come to its end"))
