"""``monitor watch`` as its users have it: a real process, real event files, real HTTP."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.events import NAN, Run, falling, nan_at, write_run
from tests.processes import eventually, run, watching

NAN_ALERT = {"alert": "NaNWithinFirstSteps", "severity": "critical"}


def test_a_run_that_goes_bad_is_seen_while_it_is_written(tmp_path: Path) -> None:
    training = Run(tmp_path / "sick")
    with watching(tmp_path) as watch:
        for loss in falling(20):
            training.log(train__loss=loss)
        training.flush()
        eventually(lambda: watch.metric("training_run_step", run="sick") == 19)
        assert watch.metric("training_alert_active", run="sick", **NAN_ALERT) == 0
        training.log(train__loss=NAN)
        training.flush()
        eventually(lambda: watch.metric("training_alert_active", run="sick", **NAN_ALERT) == 1)
        (alert,) = watch.alerts()
        assert (alert["fired_step"], alert["resolved_step"], alert["value"]) == (20, None, None)
        assert watch.metric("training_alerts_fired_total", run="sick", **NAN_ALERT) == 1
        eventually(lambda: watch.logged("alert firing"))
    training.close()


def test_a_new_run_and_a_second_file_of_a_run_are_found(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        write_run(tmp_path / "deep" / "er", {"loss": falling(5)})
        eventually(lambda: watch.metric("training_run_step", run="deep/er") == 4)
        late = Run(tmp_path / "deep" / "er", suffix=".second")
        late.step = 5
        late.log(loss=1.0)
        late.close()
        eventually(lambda: watch.metric("training_run_step", run="deep/er") == 5)


def test_killed_and_started_again_it_says_the_same(tmp_path: Path) -> None:
    write_run(tmp_path / "sick", {"train/loss": nan_at(40), "lr": [0.1] * 200})
    write_run(tmp_path / "well", {"train/loss": falling(200)})
    with watching(tmp_path) as watch:
        before = [a for a in watch.alerts() if a["detector"] != "stalled"]
        watch.signal(signal.SIGKILL)
    with watching(tmp_path) as watch:
        after = [a for a in watch.alerts() if a["detector"] != "stalled"]
    assert before == after
    assert [(a["run"], a["alert"], a["fired_step"]) for a in before] == [
        ("sick", "NaNWithinFirstSteps", 40)
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with watching(tmp_path) as watch:
        watch.signal(number)
        assert watch.process.wait(10) == 0


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("watch", tmp_path, "--listen", f"127.0.0.1:{port}")
    assert result.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


RULES = """\
version: 1
groups:
  - name: mine
    rules:
      - alert: Mine
        detect: nonfinite
"""


@pytest.mark.parametrize("how", ["signal", "http"])
def test_rules_are_reloaded_and_bad_ones_are_not(tmp_path: Path, how: str) -> None:
    logs = tmp_path / "logs"
    write_run(logs / "sick", {"train/loss": nan_at(40)})
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with watching(logs, "--rules", rules) as watch:
        assert [a["alert"] for a in watch.alerts()] == ["Mine"]
        rules.write_text(RULES.replace("Mine", "Other"))
        reload = (
            (lambda: watch.signal(signal.SIGHUP))
            if how == "signal"
            else (lambda: watch.post("/-/reload"))
        )
        reload()
        eventually(lambda: [a["alert"] for a in watch.alerts()] == ["Other"])
        assert watch.metric("training_monitor_last_reload_successful") == 1
        rules.write_text(RULES.replace("detect: nonfinite", "detect: nonfinit"))
        reload()
        eventually(lambda: watch.metric("training_monitor_last_reload_successful") == 0)
        assert [a["alert"] for a in watch.alerts()] == ["Other"]
        eventually(lambda: watch.logged("nonfinite"))


def test_a_bad_reload_is_answered_with_what_is_wrong(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with watching(tmp_path, "--rules", rules) as watch:
        assert watch.post("/-/reload") == (200, "Rules reloaded.\n")
        rules.write_text("version: 1\ngroops: []\n")
        status, text = watch.post("/-/reload")
        assert status == 500
        assert "rules.yaml:2:1" in text
        assert "groups" in text


def test_noise_is_counted_and_costs_nothing_else(tmp_path: Path) -> None:
    import random

    write_run(tmp_path / "sick", {"train/loss": nan_at(40)})
    noise = random.Random(1).randbytes(2 << 20)
    (tmp_path / "sick" / "events.out.tfevents.0.noise").write_bytes(noise)
    (tmp_path / "sick" / "events.out.tfevents.1.empty").write_bytes(b"")
    with watching(tmp_path) as watch:
        assert [a["fired_step"] for a in watch.alerts()] == [40]
        corrupt = watch.metric("training_monitor_corrupt_records_total")
        assert corrupt is not None
        assert corrupt >= 1


def test_a_log_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    result = run("watch", tmp_path / "nothing", "--listen", "127.0.0.1:0")
    assert result.returncode == 2
    assert "no such directory" in result.stderr


def test_a_run_whose_files_are_gone_for_a_moment_stays(tmp_path: Path) -> None:
    write_run(tmp_path / "gone", {"train/loss": nan_at(3)})
    write_run(tmp_path / "other", {"loss": falling(5)})
    with watching(tmp_path) as watch:
        (tmp_path / "gone").rename(tmp_path.parent / "away")
        write_run(tmp_path / "new", {"loss": falling(5)})
        eventually(lambda: watch.metric("training_run_step", run="new") == 4)
        assert watch.metric("training_alert_active", run="gone", **NAN_ALERT) == 1


def test_health_is_served(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        assert watch.get("/-/healthy")[0] == 200
        assert watch.get("/-/ready")[0] == 200
        assert watch.get("/nothing")[0] == 404
        assert "<title>Training Health Monitor<" in watch.get("/")[1]
