"""Alerts as TensorBoard's texts: read back by TensorBoard's own reader, and by no monitor."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from monitor.notices import document
from monitor.sinks.annotations import Annotations
from monitor.sinks.courier import Later, Refused, Taken
from monitor.sinks.ledger import Delivery
from tests.events import NAN, Run, falling
from tests.processes import eventually, watching
from tests.sinks.test_ledger import alert

NEWS = [
    Delivery(1, "r", True, document(alert()), 0.0, 0),
    Delivery(2, "r", False, document(alert(resolved=9)), 0.0, 0),
]


def texts(directory: Path) -> list[tuple[int, str]]:
    """Step and text of every annotation, as TensorBoard reads them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(directory), size_guidance={"tensors": 0})
    found.Reload()
    return sorted(
        (event.step, event.tensor_proto.string_val[0].decode())
        for tag in found.Tags()["tensors"]
        for event in found.Tensors(tag)
    )


def test_tensorboard_reads_what_fired_and_what_is_over(tmp_path: Path) -> None:
    channel = Annotations(lambda _: tmp_path)
    assert channel.send("r", NEWS[:1]) == Taken()
    assert channel.send("r", NEWS[1:]) == Taken()
    (fired, over) = texts(tmp_path / "alerts")
    assert fired[0] == 5
    assert "**Toy** (warning) fires since step 5" in fired[1]
    assert "What to try: Look at it." in fired[1]
    assert over == (9, "**Toy**, which fired at step 5, resolved at step 9.")
    assert len(list((tmp_path / "alerts").iterdir())) == 1


def test_a_disk_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "alerts").write_text("somebody's file")
    outcome = Annotations(lambda _: tmp_path).send("r", NEWS)
    assert isinstance(outcome, Later)
    assert str(tmp_path / "alerts") in outcome.reason
    assert isinstance(Annotations(lambda _: None).send("r", NEWS), Refused)


def test_a_daemon_annotates_once_and_does_not_read_it(tmp_path: Path) -> None:
    logs, state = tmp_path / "logs", tmp_path / "state"
    run = Run(logs / "sick")
    for loss in [*falling(40), NAN]:
        run.log(loss=loss)
    run.close()
    file = logs / "sick" / "alerts"
    for _ in range(2):
        with watching(logs, "--annotate", "--state-dir", state) as watch:
            eventually(lambda: file.exists() and any(f.stat().st_size for f in file.iterdir()))
            assert watch.metric("training_run_step", run="sick") == 40
            assert watch.metric("training_run_step", run="sick/alerts") is None
            watch.process.terminate()
            assert watch.process.wait(30) == 0
    ((step, text),) = texts(file)
    assert step == 40
    assert "NaNWithinFirstSteps" in text


def test_logs_that_are_read_only_cost_only_the_annotations(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    run = Run(tmp_path / "sick")
    for loss in [*falling(40), NAN]:
        run.log(loss=loss)
    run.close()
    (tmp_path / "sick").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with watching(tmp_path, "--annotate") as watch:
        eventually(lambda: watch.logged("message not taken"))
        assert [said["alert"] for said in watch.alerts()] == ["NaNWithinFirstSteps"]
