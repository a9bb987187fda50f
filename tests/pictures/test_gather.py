"""Which series and alerts are on a run's picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.pictures.gather import UnknownName, gather
from monitor.rules import load
from tests.events import NAN, Run, falling

RULES = load(None)


def sick(directory: Path) -> None:
    run = Run(directory)
    for step, loss in enumerate([*falling(60), NAN, NAN]):
        run.log(train__loss=loss, lr=0.1, other=float(step))
    run.close()


def test_the_loss_its_rate_and_its_alerts(tmp_path: Path) -> None:
    sick(tmp_path / "a" / "b")
    picture = gather([tmp_path], RULES, None)
    assert picture.run == "a/b"
    assert [line.tag for line in picture.lines] == ["train/loss"]
    assert [line.tag for line in picture.rates] == ["lr"]
    (span,) = picture.spans
    assert (span.alert, span.fired, span.end) == ("NaNWithinFirstSteps", 60, None)
    assert not span.chosen
    (attempt,) = picture.lines[0].attempts
    assert attempt.bad.sum() == 2


@pytest.mark.parametrize("name", ["NaNWithinFirstSteps", "NaNWithinFirstSteps-60"])
def test_an_alert_by_its_name_or_its_pictures(name: str, tmp_path: Path) -> None:
    sick(tmp_path)
    assert [span.chosen for span in gather([tmp_path], RULES, ".", name=name).spans] == [True]


def test_a_tag_of_ones_own(tmp_path: Path) -> None:
    sick(tmp_path)
    assert [line.tag for line in gather([tmp_path], RULES, ".", tag="other").lines] == ["other"]


@pytest.mark.parametrize(
    ("run", "tag", "name", "said"),
    [
        ("nobody", None, None, "no run is called 'nobody'"),
        (None, None, None, "which run is meant"),
        ("one", "los", None, "no series is called 'los'"),
        ("one", None, "LossPlateau", "no alert 'LossPlateau' has fired"),
    ],
)
def test_what_is_not_there_is_said(
    run: str | None, tag: str | None, name: str | None, said: str, tmp_path: Path
) -> None:
    sick(tmp_path / "one")
    sick(tmp_path / "two")
    with pytest.raises(UnknownName, match=said):
        gather([tmp_path], RULES, run, tag, name)
