"""A real Chromium without a window, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright import sync_api as api
else:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

__all__ = ["Visit", "api", "chromium", "needs_chromium", "visiting"]

OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")
PATIENCE_MS = 30_000


@contextmanager
def chromium() -> Iterator[api.Browser]:
    """The browser, until the block is left."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """An open page, and what went wrong in it."""

    page: api.Page
    address: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing was complained of, and no request has left the machine."""
        assert self.complaints == []
        assert self.asked
        strangers = [url for url in self.asked if not url.startswith((self.address, "data:"))]
        assert strangers == []


@contextmanager
def visiting(
    browser: api.Browser,
    address: str,
    path: str = "/",
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1360,
    height: int = 900,
) -> Iterator[Visit]:
    """The page at an address, watched for complaints and for requests to strangers."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = Visit(page, address)
    page.on("request", lambda request: visit.asked.append(request.url))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))

    def listen(message: api.ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(f"{message.type}: {message.text} {message.location}")

    page.on("console", listen)
    page.goto(address + path)
    try:
        yield visit
    finally:
        context.close()
