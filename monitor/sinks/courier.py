"""Takes deliveries from the ledger to one channel, in a thread of its own.

Whatever a channel does - refuse, time out, hang up, ask for patience - the ledger keeps what it
has not taken, and the daemon's loop hears nothing of it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.sinks.ledger import OLDEST_SECONDS, Delivery, Ledger
from monitor.sinks.log import Logger

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
IDLE_SECONDS = 60.0
FLUSH_SECONDS = 5.0
"""So long a daemon that is told to end waits for its last words to be taken."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The channel has it."""


@dataclass(frozen=True, slots=True)
class Later:
    """It did not work, and may work in a while."""

    reason: str
    """For people; nothing secret."""
    after: float | None = None
    """Seconds that the channel asked for."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never take this."""

    reason: str


Outcome = Taken | Later | Refused


class Channel(Protocol):
    """Somewhere to send messages to."""

    @property
    def name(self) -> str: ...

    @property
    def most(self) -> int:
        """Deliveries that one message can hold."""
        ...

    @property
    def pause(self) -> float:
        """Seconds between two messages."""
        ...

    def send(self, run: str, deliveries: Sequence[Delivery]) -> Outcome:
        """One message about one run; raises nothing, and returns within a bounded time."""
        ...


class Courier:
    """Delivers for one channel until closed. A context."""

    def __init__(
        self,
        channel: Channel,
        ledger: Ledger,
        log: Logger,
        count: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._channel = channel
        self._ledger = ledger
        self._log = log
        self._count = count
        """Told ``ok``, ``retried``, ``refused`` or ``given_up`` for each message."""
        self._clock = clock
        # What fails keeps everything else waiting: news of a run must not overtake each other.
        self._not_before = 0.0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=channel.name, daemon=True)

    def __enter__(self) -> Courier:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        # A message that hangs is left to the next daemon.
        self._thread.join(FLUSH_SECONDS)

    def wake(self) -> None:
        """There may be something to deliver."""
        self._wake.set()

    def _run(self) -> None:
        while True:
            closing = self._closing
            try:
                self.deliver(hurry=closing)
                due = max(self._ledger.next_due(self._channel.name), self._not_before)
            except Exception as error:  # noqa: BLE001 - the ledger is closed, or a mistake of ours
                self._log.error("cannot deliver", sink=self._channel.name, problem=repr(error))
                due = self._clock() + IDLE_SECONDS
            if closing:
                return
            self._wake.wait(min(max(0.0, due - self._clock()), IDLE_SECONDS))
            self._wake.clear()

    def deliver(self, hurry: bool = False) -> None:
        """Sends what is due, oldest first; in a hurry also what is gathered still."""
        self._tell_of_loss()
        now = self._clock()
        if now < self._not_before:
            return
        due = self._ledger.due(self._channel.name, now + (FLUSH_SECONDS if hurry else 0.0))
        for i, (run, some) in enumerate(_messages(due, self._channel.most)):
            if i and not self._rest(hurry):
                return
            if not self._send(run, some):
                return

    def _tell_of_loss(self) -> None:
        if lost := self._ledger.given_up(self._channel.name):
            why = "too many were waiting"
            self._log.error("given up", sink=self._channel.name, alerts=lost, problem=why)
            self._count("given_up")

    def _rest(self, hurry: bool) -> bool:
        """Between two messages; False if the daemon has been told to end meanwhile."""
        time.sleep(self._channel.pause)
        return hurry or not self._closing

    def _send(self, run: str, some: list[Delivery]) -> bool:
        """Whether it was taken or will never be."""
        outcome = self._channel.send(run, some)
        now, name = self._clock(), self._channel.name
        if isinstance(outcome, Taken):
            self._ledger.strike(some)
            self._count("ok")
            return True
        if isinstance(outcome, Refused):
            self._log.error("message refused", sink=name, run=run, problem=outcome.reason)
            self._ledger.strike(some)
            self._count("refused")
            return True
        old = [d for d in some if now - d.since > OLDEST_SECONDS]
        if old:
            self._log.error("given up", sink=name, run=run, alerts=len(old), problem=outcome.reason)
            self._ledger.strike(old)
            self._count("given_up")
        tries = max(d.tries for d in some)
        wait = min(FIRST_RETRY_SECONDS * 2**tries, LONGEST_RETRY_SECONDS)
        wait = outcome.after if outcome.after is not None else wait * random.uniform(0.8, 1.2)  # noqa: S311
        if not tries:
            self._log.warning("message not taken", sink=name, problem=outcome.reason, again_in=wait)
        self._ledger.tried([d for d in some if d not in old])
        self._not_before = now + wait
        self._count("retried")
        return False


def _messages(due: Sequence[Delivery], most: int) -> Iterator[tuple[str, list[Delivery]]]:
    """Per run, in the order in which the runs began to wait, in pieces."""
    runs: dict[str, list[Delivery]] = {}
    for delivery in due:
        runs.setdefault(delivery.run, []).append(delivery)
    for run, waiting in runs.items():
        for i in range(0, len(waiting), most):
            yield run, waiting[i : i + most]
