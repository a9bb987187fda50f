"""What all routes of the page answer with: headers, problems, a run by its name."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from monitor.page.text import clean, encoded
from monitor.views import RunView

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
SECURITY = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
JSON = {**SECURITY, "cache-control": "no-store", "content-type": "application/json"}
NO_RUN = "There is no run of this name, or its files are gone."


def find(views: Mapping[str, RunView], name: str) -> RunView | None:
    """The run of that name, as the page spells it."""
    view = views.get(name)
    if view is None:
        view = next((view for run, view in views.items() if clean(run) == name), None)
    return view


def answer(document: object, status: int = 200) -> Response:
    """A document as JSON."""
    return Response(encoded(document), status_code=status, headers=JSON)


def problem(status: int, sentence: str) -> Response:
    """What is wrong, for people."""
    return answer({"error": sentence}, status)
