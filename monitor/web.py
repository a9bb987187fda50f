"""The daemon's HTTP side: metrics, liveness, readiness, reload, alerts as JSON.

Runs in a thread of its own and sees the daemon through :class:`Door` only.
"""

from __future__ import annotations

import html
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from monitor import __version__

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


class ListenError(OSError):
    """The address cannot be listened on."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; ListenError, with a sentence for people, where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from error
    return listener


def application(door: Door) -> Starlette:
    """The routes."""

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

    def index(_: Request) -> Response:
        links = "".join(
            f'<li><a href="{html.escape(path)}">{html.escape(path)}</a></li>'
            for path in ("/metrics", "/api/v1/alerts", "/-/healthy", "/-/ready")
        )
        title = f"Training Health Monitor {html.escape(__version__)}"
        return HTMLResponse(
            f"<!doctype html><html lang=en><title>{title}</title><h1>{title}</h1><ul>{links}</ul>",
            headers={"content-security-policy": "default-src 'none'"},
        )

    return Starlette(
        routes=[
            Route("/", index),
            Route("/metrics", metrics),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/-/reload", reload, methods=["POST", "PUT"]),
            Route("/api/v1/alerts", alerts),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=1)],
    )


@contextmanager
def serving(door: Door, listener: socket.socket) -> Iterator[None]:
    """Answers requests on ``listener`` until the block is left."""
    config = uvicorn.Config(
        application(door),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(SHUTDOWN_SECONDS + 1)
        listener.close()
