"""Pictures: the same bytes for the same run, nothing lost, no name that could do harm."""

from __future__ import annotations

import io
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib import image

from monitor.history.buckets import Buckets
from monitor.pictures.figure import draw
from monitor.pictures.gather import Line, Picture, Span
from monitor.points import Floats


def line(tag: str, values: Sequence[float] | Floats) -> Line:
    buckets = Buckets(4096, 1)
    buckets.append(np.arange(len(values)), np.array(values, float)[:, None])
    return Line(tag, (buckets.thinned(800),))


def picture(run: str = "run", tag: str = "train/loss", spans: Sequence[Span] = ()) -> Picture:
    noise = np.random.default_rng(0).normal(size=3000)
    loss = 2 / (1 + np.arange(3000) / 300) + 0.05 * noise
    return Picture(run, (line(tag, loss),), (line("lr", [0.1] * 3000),), tuple(spans))


def pixels(drawn: bytes) -> Floats:
    found: Floats = image.imread(io.BytesIO(drawn), "png")[:, :, :3]
    return found


def text_of(svg: bytes) -> str:
    return " ".join(ET.fromstring(svg).itertext())


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_run_gives_the_same_bytes(kind: str) -> None:
    assert draw(picture(), kind) == draw(picture(), kind)


def test_a_spike_of_one_point_and_a_nan_are_seen() -> None:
    values = np.ones(1_000_000)
    plain = pixels(draw(Picture("run", (line("loss", values),), (), ()), "png"))
    values[543_210] = 40.0
    spiked = pixels(draw(Picture("run", (line("loss", values),), (), ()), "png"))
    assert spiked.shape == plain.shape
    assert (spiked != plain).any()
    middle = spiked[120:380, 430:620]  # where nothing else is drawn
    assert (middle.min(axis=2) < 0.9).any()
    values[543_210] = np.nan
    marked = pixels(draw(Picture("run", (line("loss", values),), (), ()), "png"))
    red = (marked[:, :, 0] > 0.6) & (marked[:, :, 1] < 0.4) & (marked[:, :, 2] < 0.4)
    assert red.any()


@pytest.mark.parametrize(
    "name",
    [
        *("<script>alert(1)</script>", "$x^$", r"\frac{", "_hidden", "損失", "x" * 500),
        "a\x00b\x1b[31m\ud800",
    ],
)
def test_names_are_only_text(name: str) -> None:
    spans = [Span("Alert$_{1}$", "critical", 5, 10, None, True)]
    drawn = draw(picture(name, name, spans), "svg")
    assert b"<script" not in drawn
    shown = text_of(drawn)
    assert "Alert$_{1}$" in shown
    if name.isprintable() and len(name) < 60:
        assert shown.count(name) == 2, "as the title and in the legend"
    draw(picture(name, name, spans), "png")


def test_every_alert_is_named_up_to_a_limit_and_the_rest_counted() -> None:
    spans = [Span(f"Alert{i}", "warning", 10 * i, 10 * i + 5, None, False) for i in range(9)]
    shown = text_of(draw(picture(spans=spans), "svg"))
    assert sum(f"Alert{i}" in shown for i in range(9)) == 6
    assert "3 more alerts" in shown


def test_a_run_without_points_is_an_empty_picture() -> None:
    assert draw(Picture(".", (), (), ()), "png").startswith(b"\x89PNG")
    assert draw(Picture(".", (line("loss", [np.nan]),), (), ()), "png").startswith(b"\x89PNG")
