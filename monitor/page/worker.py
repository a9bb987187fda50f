"""What the process that reads runs for open pages does.

Takes its log directories, then questions, from its standard input; answers on its
standard output. Ends when the input does, or when nobody has asked for some time.
"""

from __future__ import annotations

import json
import pickle
import signal
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

from monitor.history import RunHistory, UnknownRun
from monitor.page.curves import curves, layers
from monitor.page.framing import Kind, put

RUNS_OPEN = 4
READ_SECONDS = 1.5
"""A run that takes longer is shown in part meanwhile, and other runs get their turn."""
IDLE_SECONDS = 300


def answer(histories: Histories, request: dict[str, Any]) -> tuple[Kind, bytes]:
    """The document that ``request`` is about."""
    run = request["run"]
    history = histories.of(run)
    whole = history.refresh(READ_SECONDS)
    kind = Kind.WHOLE if whole else Kind.PART
    if "stat" in request:
        return kind, layers(history, run, whole, request["stat"])
    return kind, curves(history, run, whole, request["tags"], request["points"])


class Histories:
    """The runs that were asked for last."""

    def __init__(self, make: Callable[[str], RunHistory]) -> None:
        self._make = make
        self._open: OrderedDict[str, RunHistory] = OrderedDict()

    def of(self, run: str) -> RunHistory:
        """That run's history; UnknownName."""
        history = self._open.pop(run, None)
        if history is None:
            history = self._make(run)
            while len(self._open) >= RUNS_OPEN:
                self._open.popitem(last=False)
        self._open[run] = history
        return history

    def forget(self, run: str) -> None:
        """Something went wrong with it: next time it is read from the beginning."""
        self._open.pop(run, None)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answers until the requests end."""
    logdirs = pickle.load(requests)  # noqa: S301 - from the daemon that started us
    histories = Histories(lambda run: RunHistory(logdirs, run))
    while line := _next(requests):
        request = json.loads(line)
        try:
            kind, body = answer(histories, request)
        except UnknownRun:
            kind, body = Kind.PROBLEM, b"There is no run of this name, or its files are gone."
        except Exception as error:  # noqa: BLE001 - one run that cannot be read costs itself only
            histories.forget(request["run"])
            sentence = f"The run could not be read: {error}"
            kind, body = Kind.PROBLEM, sentence.encode("utf-8", "replace")
        put(answers, kind, body)


def _next(requests: IO[bytes]) -> bytes:
    """The next question; the process ends where none comes."""
    signal.alarm(IDLE_SECONDS)
    line = requests.readline()
    signal.alarm(0)
    return line
