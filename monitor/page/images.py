"""Pictures as files: ``runs/<run>.png`` and ``runs/<run>/alert/<name>.png``, or ``.svg``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.notices import picture_name
from monitor.page.answers import NO_RUN, SECURITY, find, problem
from monitor.page.watched import Watched
from monitor.pictures import KINDS
from monitor.pictures.artist import Artist, NoPictureError

_TYPES = {"png": "image/png", "svg": "image/svg+xml"}
# An SVG file that is opened by itself must be as harmless as one inside a page.
_HEADERS = {**SECURITY, "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


def images(watched: Watched, artist: Artist) -> list[Route]:
    """The routes; a run's name may hold slashes."""

    async def of_run(request: Request) -> Response:
        run, _, kind = request.path_params["file"].rpartition(".")
        return await answer(run, None, kind)

    async def of_alert(request: Request) -> Response:
        name, _, kind = request.path_params["file"].rpartition(".")
        return await answer(request.path_params["run"], name, kind)

    async def answer(run: str, name: str | None, kind: str) -> Response:
        if kind not in KINDS:
            return problem(404, "Pictures are .png or .svg.")
        view = find(watched.views(), run)
        if view is None:
            return problem(404, NO_RUN)
        fired = {picture_name(alert.rule.alert, alert.fired.step) for alert in view.alerts}
        if name is not None and name not in fired:
            return problem(404, "No such alert has fired in this run.")
        try:
            body = await artist.picture(view, view.run, name, kind)
        except NoPictureError as error:
            return problem(503, str(error))
        headers = {**_HEADERS, "content-type": _TYPES[kind], "cache-control": "max-age=20"}
        return Response(body, headers=headers)

    return [
        Route("/runs/{run:path}/alert/{file}", of_alert),
        Route("/runs/{file:path}", of_run),
    ]
