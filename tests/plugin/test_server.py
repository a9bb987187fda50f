"""The real TensorBoard server: its Text tab shows the annotations, its Health tab the page."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.plugin.plugin import logdirs
from tests.deploy.tools import free_port
from tests.events import NAN, Run, falling
from tests.processes import eventually, watching

pytest.importorskip("tensorboard")
PAGE = "/data/plugin/training_health/page"


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    address: str

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(self.address + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def up(self) -> bool:
        try:
            return self.get("/data/environment")[0] == 200
        except OSError:
            return False


@contextmanager
def tensorboard(logs: Path) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs}", f"--port={port}"]
    command += ["--host=127.0.0.1", "--load_fast=false", "--reload_interval=1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        eventually(server.up)
        yield server
    finally:
        process.kill()
        process.wait()


def sick(logs: Path) -> None:
    run = Run(logs / "sick")
    for loss in [*falling(40), NAN]:
        run.log(loss=loss)
    run.close()


def children() -> list[str]:
    """Command lines of the monitors that plugins have started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"monitor.plugin.child" in words:
            found.append(b" ".join(words).decode())
    return found


def test_the_tab_shows_the_page_and_its_monitor_dies_with_tensorboard(tmp_path: Path) -> None:
    sick(tmp_path)
    with tensorboard(tmp_path) as server:
        plugin = json.loads(server.get("/data/plugins_listing")[1])["training_health"]
        assert plugin["enabled"]
        assert plugin["tab_name"] == "Health"
        assert "export function render" in server.get("/data/plugin/training_health/index.js")[1]
        status, page = server.get(f"{PAGE}/")
        assert status == 200
        assert "Training Health Monitor" in page
        eventually(lambda: "NaNWithinFirstSteps" in server.get(f"{PAGE}/api/v1/runs")[1])
        assert server.get(f"{PAGE}/static/main.js")[0] == 200
        for path, method, status in (
            ("/-/reload", "POST", 405),
            ("/-/reload", "GET", 404),
            ("/metrics", "GET", 200),
            ("/static/../-/healthy", "GET", 404),
            ("/api/v1/run?run=nobody", "GET", 404),
        ):
            assert server.get(PAGE + path, method)[0] == status, path
        with urllib.request.urlopen(f"{server.address}{PAGE}/api/v1/events", timeout=30) as events:
            assert events.readline(), "events come as they happen"
        assert len([said for said in children() if str(tmp_path) in said]) == 1
    eventually(lambda: not [said for said in children() if str(tmp_path) in said])


def test_annotations_are_listed_as_texts(tmp_path: Path) -> None:
    sick(tmp_path)
    with watching(tmp_path, "--annotate"):
        # Not only made: the monitor is killed after this.
        eventually(lambda: any(f.stat().st_size for f in tmp_path.glob("sick/alerts/*")))
    with tensorboard(tmp_path) as server:
        eventually(lambda: "sick/alerts" in server.get("/data/plugin/text/tags")[1])
        tags = json.loads(server.get("/data/plugin/text/tags")[1])
        assert tags["sick/alerts"] == ["alerts/NaNWithinFirstSteps"]
        query = "run=sick%2Falerts&tag=alerts%2FNaNWithinFirstSteps"
        (said,) = json.loads(server.get(f"/data/plugin/text/text?{query}")[1])
        assert said["step"] == 40
        assert "fires since step 40" in said["text"]


def test_people_see_it_in_their_browser(tmp_path: Path) -> None:
    browsing = pytest.importorskip("tests.page.browser", exc_type=ImportError)
    if browsing.PROGRAM is None:
        pytest.skip("there is no chromium here")
    sick(tmp_path)
    with tensorboard(tmp_path) as server, browsing.chromium() as browser:
        page = browser.new_page()
        page.goto(f"{server.address}/#training_health")
        frame = page.frame_locator("iframe").first.frame_locator("iframe")
        frame.get_by_role("link", name="sick").wait_for(timeout=60_000)
        frame.get_by_role("link", name="sick").click()
        frame.get_by_text("What to try").first.wait_for(timeout=60_000)
        page.close()


@pytest.mark.parametrize(
    ("logdir", "spec", "expected"),
    [
        ("runs", "", ["runs"]),
        ("", "", []),
        ("", "a:/x/y,/z,gs://b/c,n:gs://b/d", ["/x/y", "/z", "gs://b/c", "gs://b/d"]),
    ],
)
def test_log_directories_as_tensorboard_takes_them(
    logdir: str, spec: str, expected: list[str]
) -> None:
    class Flags:
        logdir_spec = spec

    class Context:
        flags = Flags()

    Context.logdir = logdir  # type: ignore[attr-defined]
    assert logdirs(Context()) == expected
