"""A run's page as people have it: a real daemon, a real browser, a real training."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.events import NAN, Run, falling, write_run
from tests.page.browser import Visit, api, chromium, needs_chromium, visiting
from tests.processes import eventually, watching

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = needs_chromium
expect = api.expect

ONLY_NAN = """\
version: 1
groups:
  - name: mine
    rules:
      - alert: Mine
        detect: nonfinite
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[api.Browser]:
    with chromium() as browser:
        yield browser


def column(visit: Visit, step: int, steps: int) -> tuple[float, list[list[int]]]:
    """The pixels (red, green, blue, alpha) of the loss chart around a step, from its top down.

    And their height in the chart's own pixels.
    """
    found: list[list[int]] = visit.page.evaluate(
        """([step, steps]) => {
          const canvas = document.querySelector("#loss-chart canvas");
          const over = document.querySelector("#loss-chart .u-over");
          const ratio = canvas.width / canvas.clientWidth;
          const x = (over.offsetLeft + (over.clientWidth * step) / steps) * ratio;
          const [top, tall] = [over.offsetTop * ratio, over.clientHeight * ratio];
          const copy = document.createElement("canvas")
            .getContext("2d", {willReadFrequently: true});
          [copy.canvas.width, copy.canvas.height] = [7, tall];
          copy.drawImage(canvas, Math.round(x) - 3, top, 7, tall, 0, 0, 7, tall);
          const image = copy.getImageData(0, 0, 7, tall);
          return Array.from({length: image.data.length / 4}, (_, i) =>
            Array.from(image.data.slice(4 * i, 4 * i + 4)));
        }""",
        [step, steps],
    )
    return len(found) / 7, found


def blue(pixels: list[list[int]]) -> int:
    """How many are of the loss's colour."""
    return sum(1 for r, _, b, alpha in pixels if b - r > 100 and alpha > 60)


def test_a_real_training_goes_bad_while_the_page_is_open(
    browser: api.Browser, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    go = tmp_path / "go"
    command = [sys.executable, "-m", "tests.page.training", str(tmp_path / "logs" / "mlp"), str(go)]
    (tmp_path / "logs").mkdir()
    with (
        subprocess.Popen(command) as training,
        watching(tmp_path / "logs") as watch,
        visiting(browser, watch.address) as visit,
    ):
        page = visit.page
        row = page.locator("table.runs tbody tr")
        expect(row).to_contain_text("mlp", timeout=60_000)
        expect(row).to_contain_text("No alert")
        page.evaluate("document.body.dataset.mine = 'not reloaded'")
        go.touch()
        expect(row).to_contain_text("Critical", timeout=60_000)
        expect(page.locator("#news")).to_contain_text("critical")
        page.get_by_role("link", name="mlp").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("mlp")
        card = page.get_by_role("article").first
        expect(card).to_contain_text("What to try")
        expect(card).to_contain_text("learning rate")
        expect(page.locator("figcaption").first).to_contain_text("train/loss")
        expect(page.locator("#heat-canvas")).to_be_visible()
        card.get_by_text("Evidence").click()
        expect(card).to_contain_text("the rule saw")
        assert page.evaluate("document.body.dataset.mine") == "not reloaded"
        visit.check()
        assert training.wait(60) == 0


def test_an_open_page_follows_its_run(browser: api.Browser, tmp_path: Path) -> None:
    training = Run(tmp_path / "live")
    for loss in falling(50):
        training.log(train__loss=loss, lr=0.1)
    training.flush()
    with watching(tmp_path) as watch, visiting(browser, watch.address, "/?run=live") as visit:
        page = visit.page
        expect(page.get_by_text("No alert is firing")).to_be_visible()
        expect(page.locator("figcaption").first).to_contain_text("50 points, steps 0 to 49")
        training.log(train__loss=NAN, lr=0.1)
        training.flush()
        expect(page.get_by_text("1 alert firing")).to_be_visible()
        expect(page.locator("figcaption").first).to_contain_text("1 not finite")
        expect(page.locator("#news")).to_contain_text("NaNWithinFirstSteps")
        for _ in range(3):
            training.log(train__loss=0.5, lr=0.1)
        training.flush()
        expect(page.locator("figcaption").first).to_contain_text("54 points, steps 0 to 53")
        visit.check()
    training.close()


def test_a_spike_one_point_wide_is_drawn(browser: api.Browser, tmp_path: Path) -> None:
    points = 100_000
    loss = [1.0 + 0.1 * ((i * 7919) % 13) / 13 for i in range(points)]
    loss[61_803] = 3.0
    write_run(tmp_path / "logs" / "long", {"train/loss": loss})
    rules = tmp_path / "rules.yaml"
    rules.write_text(ONLY_NAN)
    with (
        watching(tmp_path / "logs", "--rules", rules) as watch,
        visiting(browser, watch.address, "/?run=long") as visit,
    ):
        caption = visit.page.locator("figcaption").first
        expect(caption).to_contain_text("100,000 points")
        expect(caption).to_contain_text("highest 3")
        height, pixels = column(visit, 61_803, points - 1)
        upper = pixels[: 7 * int(height / 2)]
        assert blue(upper) > height / 4
        for elsewhere in (30_000, 61_000, 90_000):
            height, pixels = column(visit, elsewhere, points - 1)
            assert blue(pixels[: 7 * int(height / 2)]) == 0
            assert blue(pixels) > 0
        visit.check()


def test_layers_are_a_heat_map_with_a_legend_and_numbers(
    browser: api.Browser, deep: tuple[str, str]
) -> None:
    address, path = deep
    with visiting(browser, address, path) as visit:
        page = visit.page
        heat = page.locator("#heat-canvas")
        expect(heat).to_be_visible()
        expect(page.locator("figcaption").last).to_contain_text("depth order")
        colours = page.evaluate(
            """() => {
              const canvas = document.querySelector("#heat-canvas");
              const wide = canvas.width - 120;
              const { data } = canvas.getContext("2d").getImageData(100, 0, wide, canvas.height);
              const found = new Set();
              for (let i = 0; i < data.length; i += 4) {
                if (data[i + 3] === 255) found.add(data.slice(i, i + 3).join());
              }
              return found.size;
            }"""
        )
        assert colours > 20
        heat.focus()
        page.keyboard.press("ArrowDown")
        key = page.locator("section[aria-labelledby=heat-title] .key")
        expect(key).to_contain_text("0.bias")
        section = page.locator("section[aria-labelledby=heat-title]")
        section.get_by_text("Numbers").click()
        expect(section.get_by_role("rowheader").first).to_have_text("0.weight")
        page.get_by_label("Statistic").select_option("weight_norm")
        expect(page.locator("figcaption").last).to_contain_text("weight norm")
        visit.check()


def test_an_alert_has_a_picture_to_pass_on(browser: api.Browser, deep: tuple[str, str]) -> None:
    pytest.importorskip("matplotlib")
    address, path = deep
    with visiting(browser, address, path) as visit:
        link = visit.page.get_by_role("article").first.get_by_role("link", name="Picture")
        expect(link).to_have_attribute("href", re.compile(r"^runs/deep/alert/\w+-\d+\.png$"))
        answer = visit.page.request.get(f"{address}/{link.get_attribute('href')}", timeout=60_000)
        assert answer.body().startswith(b"\x89PNG")
        visit.check()


def test_charts_by_keyboard(browser: api.Browser, deep: tuple[str, str]) -> None:
    address, path = deep
    with visiting(browser, address, path) as visit:
        page = visit.page
        chart = page.locator("#loss-chart")
        expect(page.locator("figcaption").first).to_contain_text("train/loss")
        chart.focus()
        page.keyboard.press("ArrowRight")
        key = page.locator("section[aria-labelledby=loss-title] .key")
        expect(key).to_contain_text("at step")
        button = page.get_by_role("button", name="Log scale")
        button.focus()
        before = button.get_attribute("aria-pressed")
        page.keyboard.press("Enter")
        expect(button).not_to_have_attribute("aria-pressed", before or "")
        page.get_by_label("Steps", exact=True).select_option("Last half")
        page.get_by_label("Smoothing", exact=True).select_option("None")
        visit.check()


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, path) of the page of a deep sigmoid net, whose gradients vanish."""
    torch = pytest.importorskip("torch")
    import monitor

    logs = tmp_path_factory.mktemp("deep")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    parts = [part for _ in range(8) for part in (torch.nn.Linear(8, 8), torch.nn.Sigmoid())]
    model = torch.nn.Sequential(*parts, torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with monitor.watch(model, optimizer, logdir=logs / "deep", every=1) as health:
        for step in range(80):
            optimizer.zero_grad()
            inputs = torch.randn(64, 8)
            loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            loss.backward()
            optimizer.step()
            health.log({"train/loss": loss, "val/loss": loss, "lr": 1e-3}, step)
    with watching(logs) as watch:
        eventually(watch.alerts)
        yield watch.address, "/?run=deep"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    browser: api.Browser, deep: tuple[str, str], scheme: Literal["light", "dark"]
) -> None:
    address, path = deep
    with visiting(browser, address, path, scheme=scheme) as visit:
        page = visit.page
        expect(page.locator("figcaption").last).to_contain_text("depth order")
        for details in page.locator("summary").all():
            details.click()
        found = axe.Axe().run(page).response["violations"]
        visit.check()
    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"], v["nodes"][0]["failureSummary"]) for v in grave] == []


def test_a_narrow_screen_needs_no_scrolling_sideways(
    browser: api.Browser, deep: tuple[str, str]
) -> None:
    address, path = deep
    with visiting(browser, address, path, width=420) as visit:
        expect(visit.page.locator("#heat-canvas")).to_be_visible()
        wide = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0
        visit.check()
