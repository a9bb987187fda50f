"""The list of runs as people have it: a real daemon, a real browser."""

from __future__ import annotations

import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from tests.events import NAN, Run, falling, nan_at, write_run
from tests.page.browser import api, chromium, needs_chromium, visiting
from tests.processes import Watch, watching

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = needs_chromium
expect = api.expect
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[api.Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A daemon that follows 1,000 runs, some of them sick."""
    logs = tmp_path_factory.mktemp("thousand")
    for i in range(999):
        sick = i % 100 == 7
        loss = nan_at(20, 30) if sick else falling(30)
        write_run(logs / "sweep" / f"lr{i % 5}" / f"seed{i:04}", {"train/loss": loss})
    # A directory's name holds no slash: what ends the element cannot be in it whole.
    write_run(logs / "<script>alert(1)<" / "script>", {"train/loss": nan_at(20, 30)})
    with watching(logs) as watch:
        yield watch


def rows(page: api.Page) -> api.Locator:
    return page.locator("table.runs tbody tr")


def test_a_thousand_runs_are_sorted_filtered_and_paged(
    browser: api.Browser, thousand: Watch
) -> None:
    with visiting(browser, thousand.address) as visit:
        page = visit.page
        expect(page.get_by_text("1,000 runs")).to_be_visible()
        expect(rows(page)).to_have_count(50)
        expect(rows(page).first).to_contain_text("NaNWithinFirstSteps")
        page.get_by_role("searchbox", name="Filter").fill("lr2 seed0")
        expect(page.get_by_text("200 of 1,000 runs")).to_be_visible()
        page.get_by_role("button", name="Critical").click()
        expect(page.get_by_text("10 of 1,000 runs")).to_be_visible()
        critical = page.get_by_role("button", name="Critical")
        expect(critical).to_have_attribute("aria-pressed", "true")
        critical.click()
        page.get_by_role("searchbox").fill("")
        page.get_by_role("button", name="Run", exact=True).click()
        heading = page.get_by_role("columnheader", name="Run")
        expect(heading).to_have_attribute("aria-sort", "ascending")
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_text("Page 2 of 20")).to_be_visible()
        assert "page=2" in page.url
        assert "sort=name" in page.url
        second = rows(page).first.inner_text()
        page.reload()
        expect(page.get_by_text("Page 2 of 20")).to_be_visible()
        assert rows(page).first.inner_text() == second
        page.go_back()
        expect(page.get_by_text("Page 1 of 20")).to_be_visible()
        visit.check()


def test_a_run_named_like_a_script_is_text(browser: api.Browser, thousand: Watch) -> None:
    with visiting(browser, thousand.address) as visit:
        page = visit.page
        page.on("dialog", lambda dialog: visit.complaints.append(dialog.message))
        page.get_by_role("searchbox").fill("script")
        expect(rows(page)).to_have_count(1)
        page.get_by_role("link", name=SCRIPT).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
        expect(page.get_by_role("article")).to_contain_text(SCRIPT)
        assert page.locator("main script").count() == 0
        visit.check()


def test_an_alert_appears_without_reloading_and_is_told(
    browser: api.Browser, tmp_path: Path
) -> None:
    training = Run(tmp_path / "live")
    for loss in falling(20):
        training.log(train__loss=loss)
    training.flush()
    with watching(tmp_path) as watch, visiting(browser, watch.address) as visit:
        page = visit.page
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        expect(rows(page)).to_contain_text("No alert")
        page.evaluate("document.body.dataset.mine = 'still here'")
        training.log(train__loss=NAN)
        training.flush()
        expect(rows(page)).to_contain_text("NaNWithinFirstSteps")
        expect(page.locator("#news")).to_contain_text("critical: NaNWithinFirstSteps")
        assert page.evaluate("document.body.dataset.mine") == "still here"
        visit.check()
    training.close()


def test_it_says_when_the_monitor_is_gone_and_comes_back_by_itself(
    browser: api.Browser, tmp_path: Path
) -> None:
    write_run(tmp_path / "one", {"loss": falling(5)})
    with watching(tmp_path) as watch, visiting(browser, watch.address) as visit:
        page = visit.page
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        port = watch.address.rpartition(":")[2]
        watch.signal(signal.SIGTERM)
        assert watch.process.wait(10) == 0
        expect(page.get_by_text("The monitor is gone.")).to_be_visible()
        write_run(tmp_path / "two", {"loss": falling(5)})
        with watching(tmp_path, "--listen", f"127.0.0.1:{port}"):
            expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
            expect(rows(page)).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/?run=sweep%2Flr2%2Fseed0007"])
def test_axe_finds_nothing_serious(
    browser: api.Browser, thousand: Watch, path: str, scheme: Literal["light", "dark"]
) -> None:
    with visiting(browser, thousand.address, path, scheme=scheme) as visit:
        expect(visit.page.get_by_text("NaNWithinFirstSteps").first).to_be_visible()
        visit.page.wait_for_timeout(500)
        found = axe.Axe().run(visit.page).response["violations"]
    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"], v["nodes"][0]["failureSummary"]) for v in grave] == []


def test_it_works_below_a_prefix(browser: api.Browser, tmp_path: Path) -> None:
    write_run(tmp_path / "deep" / "er", {"train/loss": nan_at(20, 30)})
    with (
        watching(tmp_path) as watch,
        below("/data/plugin/health", watch.address) as address,
        visiting(browser, address, "/data/plugin/health/") as visit,
    ):
        page = visit.page
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        page.get_by_role("link", name="deep/er").click()
        expect(page.locator("figcaption").first).to_contain_text("30 points")
        expect(page.get_by_role("article")).to_contain_text("What to try")
        page.get_by_role("link", name="All runs").click()
        expect(rows(page)).to_have_count(1)
        assert page.url == f"{address}/data/plugin/health/?"
        outside = [url for url in visit.asked if "/data/plugin/health/" not in url]
        assert outside == []
        visit.check()


@contextmanager
def below(prefix: str, address: str) -> Iterator[str]:
    """A proxy that shows a monitor below a prefix, events included; its own address."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(prefix):
                return self.send_error(404)
            with urllib.request.urlopen(address + self.path[len(prefix) :]) as answer:
                self.send_response(answer.status)
                for name in ("content-type", "content-security-policy"):
                    self.send_header(name, answer.headers[name])
                self.end_headers()
                with suppress(OSError):
                    while some := answer.read1():
                        self.wfile.write(some)
            return None

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_where_there_is_nothing_it_says_so(
    browser: api.Browser, thousand: Watch, tmp_path: Path
) -> None:
    with visiting(browser, thousand.address, "/?q=nobody") as visit:
        page = visit.page
        expect(page.get_by_text("0 of 1,000 runs")).to_be_visible()
        expect(page.locator("table.runs")).to_be_hidden()
        page.get_by_role("link", name="Show all runs").click()
        expect(rows(page)).to_have_count(50)
        visit.check()
    with visiting(browser, thousand.address, "/?run=nobody") as visit:
        expect(visit.page.get_by_role("alert")).to_contain_text("There is no run of this name")
        expect(visit.page.get_by_role("heading", name="Loss")).to_be_hidden()
    with watching(tmp_path) as watch, visiting(browser, watch.address) as visit:
        expect(visit.page.get_by_text("There are no runs yet.")).to_be_visible()
        expect(visit.page.locator("table.runs")).to_be_hidden()
        write_run(tmp_path / "first", {"loss": falling(5)})
        expect(rows(visit.page)).to_have_count(1)
        visit.check()


def test_a_telephone_shows_names_alerts_and_ages(browser: api.Browser, thousand: Watch) -> None:
    with visiting(browser, thousand.address, width=390, height=800) as visit:
        expect(rows(visit.page)).to_have_count(50)
        wide = visit.page.get_by_role("region", name="List of runs").evaluate(
            "region => region.scrollWidth - region.clientWidth"
        )
        assert wide <= 0
        for column in ("name", "alerts", "event"):
            expect(rows(visit.page).first.locator(f".c-{column}")).to_be_in_viewport(ratio=1)
        visit.check()


def test_a_smoothed_curve_leaps_where_the_curve_does(browser: api.Browser, thousand: Watch) -> None:
    with visiting(browser, thousand.address) as visit:
        leaps, spike = visit.page.evaluate(
            """async () => {
              const { smooth } = await import("./static/series.js");
              const leap = Array.from({length: 100}, (_, i) => (i === 3 ? null : i < 60 ? 1 : 2));
              const spike = leap.with(20, 1e9);
              return [smooth(leap, 9), smooth(spike, 9)];
            }"""
        )
    assert leaps == [None if i == 3 else 1 if i < 60 else 2 for i in range(100)]
    assert spike == leaps


def test_by_keyboard_alone(browser: api.Browser, thousand: Watch) -> None:
    with visiting(browser, thousand.address) as visit:
        page = visit.page
        expect(rows(page)).to_have_count(50)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("/")
        page.keyboard.type("seed0007")
        expect(rows(page)).to_have_count(1)
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('tbody') !== null"):
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("sweep/lr2/seed0007")
        expect(page.get_by_role("article")).to_contain_text("What to try")
        visit.check()
