"""Requests passed on to the monitor, and its answers passed back as they come. WSGI."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

from monitor.plugin.companion import Companion, GoneError

Start = Callable[..., Any]

TIMEOUT_SECONDS = 90.0
"""Between two pieces of an answer; events come more often, if only to say that nothing is new."""
_PIECE = 1 << 16
_PASSED_ON = ("accept", "accept-encoding", "if-none-match", "last-event-id")
# Of one connection, not of the answer; RFC 9110, section 7.6.1.
_HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "date", "server"),
    )
)
_SEEN = ("/static/", "/api/", "/runs/")
"""What is passed on besides the page itself: nothing that changes the monitor."""


class Proxy:
    """The page below ``prefix``."""

    def __init__(self, companion: Companion, prefix: str) -> None:
        self._companion = companion
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """One request."""
        path = environ.get("PATH_INFO", "").partition(self._prefix)[2] or "/"
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _problem(start, "405 Method Not Allowed", "Only looking is possible here.")
        if path not in {"/", "/metrics"} and not path.startswith(_SEEN):
            return _problem(start, "404 Not Found", "There is no such page.")
        target = quote(path.encode("latin-1"))
        if environ.get("QUERY_STRING"):
            target += f"?{environ['QUERY_STRING']}"
        try:
            connection, answer = self._ask(environ["REQUEST_METHOD"], target, _headers(environ))
        except (GoneError, OSError, http.client.HTTPException) as error:
            return _problem(start, "503 Service Unavailable", str(error) or type(error).__name__)
        headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP]
        start(f"{answer.status} {answer.reason}", headers)
        return _body(connection, answer)

    def _ask(
        self, method: str, target: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        host, port = self._companion.address()
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, target, headers=headers)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    wanted = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in _PASSED_ON}
    return {name: environ[key] for name, key in wanted.items() if key in environ}


def _body(
    connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
) -> Iterator[bytes]:
    try:
        while piece := answer.read1(_PIECE):
            yield piece
    except (OSError, http.client.HTTPException):
        return  # The monitor is gone; the page says so and asks again.
    finally:
        connection.close()


def _problem(start: Start, status: str, sentence: str) -> list[bytes]:
    said = f"{sentence}\n".encode()
    start(
        status,
        [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")],
    )
    return [said]
