"""Alerts as text summaries beside the logs, so that TensorBoard shows them in its Text tab.

Those of run ``a`` go to the event file ``a/alerts/events.out.tfevents....training-alerts``: a run
of its own for TensorBoard, and none for the monitor, which knows the ending. There is one file for
all times, since TensorBoard does not return to a directory's earlier files.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from monitor.formats import tfrecord
from monitor.formats.summaries import ANNOTATIONS, encode_text, encode_version
from monitor.notices import AlertDocument
from monitor.sinks.courier import Later, Outcome, Refused, Taken
from monitor.sinks.ledger import Delivery

DIRECTORY = "alerts"


class Annotations:
    """A channel: a record for each transition."""

    name = "annotations"
    most = 100
    pause = 0.0

    def __init__(self, place: Callable[[str], Path | None]) -> None:
        """``place``: the directory of a run; None where there is none that can be written to."""
        self._place = place

    def send(self, run: str, deliveries: Sequence[Delivery]) -> Outcome:
        """Appends them; a disk that is full or read-only is tried again later."""
        place = self._place(run)
        if place is None:
            return Refused("only runs in directories of this machine can be annotated")
        records = [_record(delivery.firing, delivery.document) for delivery in deliveries]
        try:
            _append(place / DIRECTORY, records)
        except OSError as error:
            return Later(f"cannot write to {place / DIRECTORY}: {error.strerror}")
        return Taken()


def _append(directory: Path, payloads: Sequence[bytes]) -> None:
    """All or nothing: what was written in part is taken back."""
    directory.mkdir(exist_ok=True)
    path = min(directory.glob(f"*{ANNOTATIONS}"), default=None) or directory / _file_name()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        first = [] if size else [encode_version(time.time())]
        data = b"".join(map(tfrecord.encode, [*first, *payloads]))
        written = os.write(descriptor, data)
        if written < len(data):
            os.ftruncate(descriptor, size)
            raise OSError(28, "No space left on device")
    finally:
        os.close(descriptor)


def _file_name() -> str:
    host = socket.gethostname() or "localhost"
    return f"events.out.tfevents.{int(time.time())}.{host}{ANNOTATIONS}"


def _record(firing: bool, said: AlertDocument) -> bytes:
    name, step = said["alert"], said["fired_step"]
    if firing:
        parts = [f"**{name}** ({said['severity']}) fires since step {step}.", said["summary"]]
        parts += [f"What to try: {said['advice']}"] * bool(said["advice"])
        return encode_text(f"alerts/{name}", "\n\n".join(parts), step, said["fired_wall_time"])
    end = said["resolved_step"]
    over = "is over" if end is None else f"resolved at step {end}"
    text = f"**{name}**, which fired at step {step}, {over}."
    return encode_text(f"alerts/{name}", text, step if end is None else end, time.time())
