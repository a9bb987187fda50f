"""The page's routes: static files, JSON below ``api/v1/``, and events."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from monitor.page.answers import JSON, NO_RUN, SECURITY, answer, find, problem
from monitor.page.assets import Asset, assets
from monitor.page.detail import detail
from monitor.page.overview import Query, QueryError, Rows, query
from monitor.page.reader import Reader, UnreadableError
from monitor.page.stream import MOST_LISTENERS, events
from monitor.page.text import encoded
from monitor.page.watched import Watched

LISTS_KEPT = 32
MOST_TAGS = 16
MOST_POINTS = 2000


def routes(watched: Watched, reader: Reader) -> list[Route]:
    """What the page needs, from ``/`` on."""
    found = assets()
    rows = Rows()
    said: dict[Query, tuple[tuple[int, bool], bytes]] = {}

    async def index(request: Request) -> Response:
        asked = request.query_params.get("run")
        view = None if asked is None else find(watched.views(), asked)
        soon = BackgroundTask(reader.prepare, None if view is None else view.run)
        return _static(found["index.html"], request, soon)

    async def static(request: Request) -> Response:
        asset = found.get(request.path_params["path"])
        return problem(404, "There is no such file.") if asset is None else _static(asset, request)

    async def runs(request: Request) -> Response:
        try:
            asked = query(request.query_params)
        except QueryError as error:
            return problem(400, str(error))
        # Pages ask together, when they were told together: the first one's answer is everybody's.
        state = watched.changes.version, watched.ready()
        if said.get(asked, (None, b""))[0] != state:
            if len(said) >= LISTS_KEPT:
                said.clear()
            body = encoded(rows.answer(watched.views(), asked) | {"ready": state[1]})
            said[asked] = state, body
        return Response(said[asked][1], headers=JSON)

    async def run(request: Request) -> Response:
        view = find(watched.views(), request.query_params.get("run", "."))
        if view is None:
            return problem(404, NO_RUN)
        return answer(detail(view, watched.roles()))

    async def stream(_: Request) -> Response:
        if watched.changes.listeners >= MOST_LISTENERS:
            return problem(503, "Too many pages are open.")
        return StreamingResponse(
            events(watched.changes),
            media_type="text/event-stream",
            # Said to be encoded already, or else old versions of the middleware would collect it.
            headers={**SECURITY, "cache-control": "no-store", "content-encoding": "identity"},
        )

    return [
        Route("/", index),
        Route("/static/{path:path}", static),
        Route("/api/v1/runs", runs),
        Route("/api/v1/run", run),
        Route("/api/v1/events", stream),
        *_pictures(watched, reader),
    ]


def _pictures(watched: Watched, reader: Reader) -> list[Route]:
    """What has to be read from event files."""

    async def drawn(request: Request) -> Response:
        tags = request.query_params.getlist("tag")[:MOST_TAGS]
        points = request.query_params.get("points", "1000")
        if not (points.isascii() and points.isdigit() and 10 <= int(points[:9]) <= MOST_POINTS):
            return problem(400, f"points: a whole number from 10 to {MOST_POINTS} is wanted")
        return await picture(request, {"tags": tags, "points": int(points)})

    async def layered(request: Request) -> Response:
        return await picture(request, {"stat": request.query_params.get("stat", "grad_norm")})

    async def picture(request: Request, what: Mapping[str, object]) -> Response:
        view = find(watched.views(), request.query_params.get("run", "."))
        if view is None:
            return problem(404, NO_RUN)
        try:
            return Response(await reader.ask(view.run, what), headers=JSON)
        except UnreadableError as error:
            return problem(503, str(error))

    return [Route("/api/v1/curves", drawn), Route("/api/v1/layers", layered)]


def _static(asset: Asset, request: Request, then: BackgroundTask | None = None) -> Response:
    headers = {**SECURITY, "cache-control": "no-cache", "etag": asset.etag}
    headers["vary"] = "accept-encoding"
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers, background=then)
    headers["content-type"] = asset.content_type
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(asset.packed, headers=headers, background=then)
    return Response(asset.body, headers=headers, background=then)
