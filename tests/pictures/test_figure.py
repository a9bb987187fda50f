"""Pictures: the same bytes for the same run, nothing lost, no name that could do harm."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib import image

from monitor.history.buckets import Buckets
from monitor.pictures.figure import draw, smoothed
from monitor.pictures.gather import Heat, Line, Picture, Span
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


def test_a_smoothed_curve_leaps_where_the_curve_does() -> None:
    values = np.ones(800)
    values[400:] = 2.0
    values[100], values[3] = 1e9, np.nan
    expected = np.where(np.arange(800) < 400, 1.0, 2.0)
    expected[3] = np.nan
    assert np.array_equal(smoothed(values), expected, equal_nan=True)


def heat(*steps: int, **seen: Sequence[float]) -> Heat:
    buckets = Buckets(512, len(seen))
    buckets.append(np.array(steps), np.array(list(seen.values()), float).T)
    return Heat("grad_norm", tuple(seen), buckets.thinned(160))


def test_layers_are_drawn_from_where_they_were_seen() -> None:
    nan = np.nan
    layers = heat(0, 1000, 2000, first=[1e-6, 0.0, nan], last=[1.0, 1e3, nan])
    shown = pixels(draw(replace(picture(), heat=layers), "png"))
    without = pixels(draw(picture(), "png"))
    assert shown.shape[0] > without.shape[0], "it has room of its own"
    tall, wide = shown.shape[:2]
    middle = slice(int(0.53 * tall), int(0.76 * tall))

    def columns(colour: tuple[float, float, float]) -> Floats:
        near = np.abs(shown[middle] - colour).max(axis=2) < 0.02
        found: Floats = np.flatnonzero(near.sum(axis=0) > 20) / wide
        return found

    black, red = columns((0.0, 0.0, 0.0)), columns((0.753, 0.224, 0.169))
    # The axes begin at 0.07 of the width or so; step 1000 of 3000 is near a third.
    assert 0.3 < black[black > 0.1].min() < 0.42
    assert 0.6 < red.min() < 0.72, "nothing is red before step 2000"
    assert draw(replace(picture(), heat=layers), "svg") == draw(
        replace(picture(), heat=layers), "svg"
    )


def test_the_heat_map_says_what_its_colours_mean() -> None:
    layers = heat(0, 10, a=[1e-6, 0.0], b=[np.inf, 1e3])
    shown = text_of(draw(replace(picture(), heat=layers), "svg"))
    for said in ("grad norm", "red: not finite", "black: exactly 0", "1e-06", "1e+03"):
        assert said in shown
    draw(replace(picture(), heat=heat(5, a=[np.nan])), "png")
    draw(replace(picture(), heat=heat(5, a=[-1.0])), "png")


def test_a_run_without_points_is_an_empty_picture() -> None:
    assert draw(Picture(".", (), (), ()), "png").startswith(b"\x89PNG")
    assert draw(Picture(".", (line("loss", [np.nan]),), (), ()), "png").startswith(b"\x89PNG")
