"""Who is told, and how: what the command line asks for, made into sinks with their ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from monitor.alerts import Alert
from monitor.sinks.alertmanager import Alertmanager
from monitor.sinks.annotations import Annotations
from monitor.sinks.courier import Channel, Courier
from monitor.sinks.ledger import Ledger
from monitor.sinks.log import Logger
from monitor.sinks.slack import Slack, webhook


class Remote(Protocol):
    """Delivers in a thread of its own."""

    def wake(self) -> None:
        """Something is news."""
        ...


class Source(Protocol):
    """The part of the daemon that is needed here."""

    def alerts(self) -> Sequence[Alert]: ...
    def directory(self, run: str) -> Path | None: ...
    def attach(self, remotes: Sequence[Remote]) -> None: ...
    def counting(self, sink: str) -> Callable[[str], None]: ...
    def watch_queue(self, sink: str) -> None: ...


class Delivery:
    """The ledger, and the sinks that are far away."""

    def __init__(
        self,
        state_dir: Path | None,
        slack: bool,
        alertmanager: str | None,
        link: str,
        environment: Mapping[str, str],
        pictures: bool = False,
        annotate: bool = False,
        near: str | None = None,
    ) -> None:
        """``pictures``: Slack can fetch them below ``link``; and we below ``near``.

        UnusableError if a webhook is missing, an address none, or the ledger cannot be kept.
        """
        self._in_memory = state_dir is None
        self._link = link.rstrip("/") + "/"
        self._alertmanager = alertmanager
        self._channels: list[Channel] = []
        if slack:
            self._channels.append(Slack(webhook(environment), self._link, pictures, near))
        self._source: Source | None = None
        if annotate:
            self._channels.append(Annotations(self._directory))
        if alertmanager is not None:
            Alertmanager.check(alertmanager)
        names = [channel.name for channel in self._channels]
        self.ledger = Ledger(state_dir, names, time.time())

    @contextmanager
    def running(self, source: Source, log: Logger) -> Iterator[None]:
        """Delivers until the block is left; then what is due goes out, as far as it is taken."""
        with ExitStack() as stack:
            stack.callback(self.ledger.close)
            remotes: list[Courier | Alertmanager] = [
                Courier(channel, self.ledger, log, source.counting(channel.name))
                for channel in self._channels
            ]
            for channel in self._channels:
                source.watch_queue(channel.name)
            if self._alertmanager is not None:
                count = source.counting(Alertmanager.name)
                remotes.append(
                    Alertmanager(self._alertmanager, source.alerts, self._link, log, count)
                )
            if self._channels and self._in_memory:
                log.warning(
                    "no --state-dir: what has been told is forgotten at a restart, "
                    "and alerts that still fire are told again"
                )
            slack = any(channel.name == Slack.name for channel in self._channels)
            if slack and self._alertmanager is not None:
                log.warning("--slack and --alertmanager: people may be told twice")
            self._source = source
            source.attach(remotes)
            for remote in remotes:
                stack.enter_context(remote)
            yield

    def _directory(self, run: str) -> Path | None:
        return None if self._source is None else self._source.directory(run)
