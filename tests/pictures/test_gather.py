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
        (None, None, None, r"which run is meant \(--run\)"),
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


def test_an_alert_about_layers_comes_with_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import monitor

    torch.manual_seed(0)
    parts = [part for _ in range(10) for part in (torch.nn.Linear(8, 8), torch.nn.Sigmoid())]
    model = torch.nn.Sequential(*parts, torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with monitor.watch(model, optimizer, logdir=tmp_path, every=1) as health:
        for step in range(20):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 8)).square().mean()
            loss.backward()
            optimizer.step()
            health.log({"train/loss": loss}, step)
    picture = gather([tmp_path], RULES, ".", name="VanishingGradients")
    assert picture.heat is not None
    assert picture.heat.stat == "grad_norm"
    assert picture.heat.names[:2] == ("0.weight", "0.bias")
    assert [line.tag for line in picture.lines] == ["train/loss"]
    assert gather([tmp_path], RULES, ".").heat is not None, "of the run, too"
