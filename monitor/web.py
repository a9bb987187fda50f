"""The daemon's HTTP side: the status page, metrics, liveness, readiness, reload, alerts as JSON.

Runs in a thread of its own and sees the daemon through :class:`Door` only.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.page.images import images
from monitor.page.reader import Reader
from monitor.page.routes import routes
from monitor.page.watched import Watched
from monitor.pictures.artist import Artist
from monitor.webconfig import WebConfig

SHUTDOWN_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Door:
    """What HTTP requests may ask of the daemon; called from other threads."""

    metrics: Callable[[str], tuple[bytes, str]]
    """Body and content type for a header ``Accept``."""
    ready: Callable[[], bool]
    alerts: Callable[[], list[Any]]
    """The alerts of all runs as JSON documents, in firing order."""
    reload: Callable[[], str | None]
    """Reloads the rules; None when done, else what is wrong with them."""
    watched: Watched
    """What the status page sees."""


class ListenError(OSError):
    """The address cannot be listened on."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; ListenError, with a sentence for people, where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol said, or asyncio leaves Nagle's algorithm on: headers and body are two
    # writes, and the second would wait 40 ms for the first one to be acknowledged.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from error
    return listener


class _Guard:
    """Answers only those whom the configuration admits. ASGI."""

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Headers(scope=scope).get("authorization", "")
            # Not in the loop: a password takes a tenth of a second to check.
            if not await run_in_threadpool(self._config.admits, given):
                demand = {"www-authenticate": 'Basic realm="monitor"'}
                answer = PlainTextResponse("Unauthorized\n", status_code=401, headers=demand)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def application(door: Door, reader: Reader, config: WebConfig | None = None) -> Starlette:
    """The routes; ``reader`` is the caller's to close."""

    def metrics(request: Request) -> Response:
        body, content_type = door.metrics(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    def healthy(_: Request) -> Response:
        return PlainTextResponse("The monitor is alive.\n")

    def ready(_: Request) -> Response:
        if door.ready():
            return PlainTextResponse("The monitor is ready.\n")
        return PlainTextResponse("Still reading what is there already.\n", status_code=503)

    def reload(_: Request) -> Response:
        problem = door.reload()
        if problem is None:
            return PlainTextResponse("Rules reloaded.\n")
        return PlainTextResponse(f"The old rules stay: {problem}\n", status_code=500)

    def alerts(_: Request) -> Response:
        return JSONResponse(door.alerts())

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/-/reload", reload, methods=["POST", "PUT"]),
            Route("/api/v1/alerts", alerts),
            *routes(door.watched, reader),
            *images(door.watched, Artist(door.watched.logdirs, door.watched.rules)),
        ],
        middleware=[
            *([Middleware(_Guard, config=config)] if config is not None and config.users else []),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=1),
        ],
    )


class _Server(uvicorn.Server):
    """Looks at its clock once a second: ten times would be all that an idle daemon does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()

    async def main_loop(self) -> None:
        """Overrides uvicorn's."""
        self._loop = asyncio.get_running_loop()
        over = asyncio.ensure_future(self._over.wait())
        while not await self.on_tick(0):
            await asyncio.wait({over}, timeout=1.0)

    def end(self) -> None:
        """Ends it soon; from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)


@contextmanager
def serving(
    door: Door, listener: socket.socket, web_config: WebConfig | None = None
) -> Iterator[None]:
    """Answers requests on ``listener`` until the block is left."""
    reader = Reader(door.watched)
    config = uvicorn.Config(
        application(door, reader, web_config),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    config.load()
    config.ssl = None if web_config is None else web_config.context
    server = _Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.end()
        door.watched.changes.close()
        thread.join(SHUTDOWN_SECONDS + 1)
        reader.close()
        listener.close()
