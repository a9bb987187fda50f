"""The page's routes, asked through Starlette's own client."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from monitor.page.assets import assets
from monitor.page.reader import Reader
from monitor.page.routes import routes
from monitor.page.watched import Watched
from monitor.rules.model import Roles
from tests.page.views import alert, view

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def client() -> Iterator[TestClient]:
    views = {
        SCRIPT: view(SCRIPT, alert(SCRIPT, "Bad", "critical")),
        "deep/er/run": view("deep/er/run"),
        "bad\udcff": view("bad\udcff"),
    }
    watched = Watched(lambda: dict(views), lambda: True, Roles)
    reader = Reader(watched)
    yield TestClient(Starlette(routes=routes(watched, reader)))
    reader.close()


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/v1/runs", "/api/v1/run?run=x"])
def test_every_answer_forbids_what_the_page_does_not_need(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_files_are_asked_for_again_only_when_they_have_changed(client: TestClient) -> None:
    first = client.get("/static/page.css")
    assert first.headers["content-type"].startswith("text/css")
    again = client.get("/static/page.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = client.get("/static/page.css", headers={"accept-encoding": "identity"})
    assert (plain.text, "content-encoding" in plain.headers) == (first.text, False)
    assert first.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", ["nothing.js", "../routes.py", "..%2froutes.py", "vendor"])
def test_nothing_but_the_pages_files_is_served(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_runs_and_a_run(client: TestClient) -> None:
    found = client.get("/api/v1/runs").json()
    assert [row["run"] for row in found["runs"]] == [SCRIPT, "bad?", "deep/er/run"]
    assert found["ready"] is True
    assert client.get("/api/v1/run", params={"run": "deep/er/run"}).json()["run"] == "deep/er/run"
    assert client.get("/api/v1/run", params={"run": "bad?"}).status_code == 200
    missing = client.get("/api/v1/run", params={"run": "x"})
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": "There is no run of this name, or its files are gone."},
    )
    refused = client.get("/api/v1/runs", params={"sort": "x"})
    assert (refused.status_code, "sort" in refused.json()["error"]) == (400, True)


def test_a_list_is_made_again_when_something_has_changed() -> None:
    views = {"a": view("a")}
    ready = [False]
    watched = Watched(lambda: dict(views), lambda: ready[0], Roles)
    client = TestClient(Starlette(routes=routes(watched, Reader(watched))))

    def steps() -> list[int]:
        return [row["last_step"] for row in client.get("/api/v1/runs").json()["runs"]]

    assert steps() == [0]
    views["a"] = view("a", last_step=7)
    watched.changes.tell(["a"])
    assert steps() == [7]
    views.clear()
    watched.changes.tell((), gone=["a"])
    assert steps() == []
    ready[0] = True
    assert client.get("/api/v1/runs").json()["ready"] is True


def test_nothing_is_fetched_from_elsewhere_and_every_file_named_is_there() -> None:
    found = assets()
    for name, asset in found.items():
        if name.startswith("vendor/") or not name.endswith((".js", ".html", ".css")):
            continue
        text = asset.body.decode()
        links = re.findall(r"https?://[^\s\"']+", text)
        assert set(links) <= {"http://www.w3.org/2000/svg"}, name
        assert "innerHTML" not in text, name
        for target in re.findall(r"""(?:from|import\()\s*["'](\./[^"']+)""", text):
            assert target.removeprefix("./") in found, (name, target)
        if name == "index.html":
            for target in re.findall(r'(?:href|src)="static/([^"]+)"', text):
                assert target in found, target


def test_the_vendored_library_comes_with_its_licence() -> None:
    found = assets()
    assert b"MIT License" in found["vendor/uPlot-LICENSE.txt"].body
    assert b"uPlot.js" in found["vendor/uPlot.esm.js"].body
