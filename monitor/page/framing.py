"""How the daemon and the process that reads for pages put answers into a pipe.

A module of its own, since that process has to be there at once: it loads nothing that it can do
without.
"""

from __future__ import annotations

import struct
from typing import IO

_HEADER = struct.Struct("<?Q")
"""Whether it is an answer (or a sentence that says why there is none), and its length."""


def put(pipe: IO[bytes], good: bool, body: bytes) -> None:
    """Writes an answer."""
    pipe.write(_HEADER.pack(good, len(body)) + body)
    pipe.flush()


def get(pipe: IO[bytes]) -> tuple[bool, bytes]:
    """The next answer; ConnectionError where the other end is gone."""
    good, length = _HEADER.unpack(_exactly(pipe, _HEADER.size))
    return good, _exactly(pipe, length)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    body = pipe.read(length)
    if len(body) < length:
        raise ConnectionError("the process that reads runs has ended")
    return body
