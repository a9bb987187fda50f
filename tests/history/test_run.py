"""A run read again for its page, from real event files."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.history import RunHistory, UnknownRun
from monitor.history import run as module
from monitor.page.curves import curves, layers
from tests.events import NAN, Run, falling, write_run


def drawn(
    history: RunHistory, tag: str = "loss", points: int = 100
) -> list[dict[str, list[float]]]:
    """The attempts at a tag as the page is sent them."""
    (curve,) = json.loads(curves(history, "r", True, [tag], points))["curves"]
    attempts: list[dict[str, list[float]]] = curve["attempts"]
    return attempts


def test_a_spike_one_point_wide_and_a_nan_stay(tmp_path: Path) -> None:
    loss = falling(20_000)
    loss[12_345], loss[17_000] = 99.5, NAN
    write_run(tmp_path / "r", {"loss": loss})
    history = RunHistory([tmp_path], "r")
    history.refresh()
    (attempt,) = drawn(history)
    assert len(attempt["steps"]) <= 100
    i = int(np.searchsorted(attempt["steps"], 12_345))
    assert attempt["high"][i] == 99.5
    assert attempt["bad"][int(np.searchsorted(attempt["steps"], 17_000))] == 1
    assert sum(attempt["bad"]) == 1
    assert attempt["mean"][0] == pytest.approx(
        np.mean(loss[: int(attempt["steps"][0]) + 1]), rel=1e-4
    )


def test_what_is_written_later_is_there_after_a_refresh(tmp_path: Path) -> None:
    training = Run(tmp_path / "r")
    for loss in falling(10):
        training.log(loss=loss)
    training.flush()
    history = RunHistory([tmp_path], "r")
    history.refresh()
    assert drawn(history)[0]["steps"][-1] == 9
    training.log(loss=7.0)
    training.flush()
    history.refresh()
    assert (drawn(history)[0]["steps"][-1], drawn(history)[0]["high"][-1]) == (10, 7.0)
    training.close()


def test_a_restart_that_goes_back_is_another_attempt_and_one_that_goes_on_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESCAN_SECONDS", 0.0)
    history = None
    for number, first in enumerate((0, 50, 20)):
        training = Run(tmp_path / "r", ".new")
        training.step = first
        now = time.time()
        for i in range(50):
            training.log(now + i, loss=float(first + i))
        training.close()
        # By name they are in the order of their birth; these are of the same second.
        (written,) = (tmp_path / "r").glob("*.new")
        written.rename(tmp_path / "r" / f"events.out.tfevents.{number}.host")
        history = history or RunHistory([tmp_path], "r")
        history.refresh()
    assert history is not None
    first_try, second = drawn(history)
    assert (first_try["steps"][0], first_try["steps"][-1]) == (0, 99)
    assert (second["steps"][0], second["steps"][-1]) == (20, 69)


def test_an_unknown_run_and_an_unknown_tag(tmp_path: Path) -> None:
    write_run(tmp_path / "r", {"loss": falling(5)})
    with pytest.raises(UnknownRun):
        RunHistory([tmp_path], "x")
    history = RunHistory([tmp_path], "r")
    history.refresh()
    assert json.loads(curves(history, "r", True, ["nothing"], 10))["curves"] == []
    assert json.loads(layers(history, "r", True, "grad_norm"))["layers"] == []


def test_layers_stand_in_depth_order_with_the_greatest_value_of_each_cell(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import monitor

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with monitor.watch(model, optimizer, logdir=tmp_path / "r", every=1):
        for _ in range(30):
            optimizer.zero_grad()
            model(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()
    history = RunHistory([tmp_path], "r")
    history.refresh()
    found = json.loads(layers(history, "r", True, "grad_norm"))
    assert found["layers"][0].startswith("0.")
    assert found["layers"][-1].startswith("2.")
    assert len(found["values"]) == len(found["layers"])
    assert all(len(row) == len(found["steps"]) for row in found["values"])
    flat = [value for row in found["values"] for value in row if value]
    assert found["highest"] == pytest.approx(max(flat), rel=1e-5)
    assert found["lowest_positive"] == pytest.approx(min(flat), rel=1e-5)


def test_a_long_run_is_there_in_part_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 10_000)
    write_run(tmp_path / "r", {"loss": falling(5000)})
    history = RunHistory([tmp_path], "r")
    assert history.refresh(0.0) is False
    first = drawn(history)[0]["steps"][-1]
    assert 0 < first < 4999
    while not history.refresh(0.0):
        assert drawn(history)[0]["steps"][-1] > first
    assert drawn(history)[0]["steps"][-1] == 4999
