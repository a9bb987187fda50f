"""How the daemon and the process that reads for pages put answers into a pipe.

A module of its own, since that process has to be there at once: it loads nothing that it can do
without.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import IO

_HEADER = struct.Struct("<BQ")
"""The kind and the length."""


class Kind(IntEnum):
    """What an answer is."""

    PROBLEM = 0
    """A sentence that says why there is none."""
    PART = 1
    """Of a run that is not read to its end yet."""
    WHOLE = 2


def put(pipe: IO[bytes], kind: Kind, body: bytes) -> None:
    """Writes an answer."""
    pipe.write(_HEADER.pack(kind, len(body)) + body)
    pipe.flush()


def get(pipe: IO[bytes]) -> tuple[Kind, bytes]:
    """The next answer; ConnectionError where the other end is gone."""
    kind, length = _HEADER.unpack(_exactly(pipe, _HEADER.size))
    return Kind(kind), _exactly(pipe, length)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    body = pipe.read(length)
    if len(body) < length:
        raise ConnectionError("the process that reads runs has ended")
    return body
