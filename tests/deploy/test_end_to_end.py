"""The whole way of an alert, nothing in it a stand-in but the address of Slack.

A PyTorch training writes an event file; the monitor reads it, tells one receiver itself, and is
scraped by Prometheus, whose rules tell Alertmanager, which tells another receiver.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.test_prometheus import HERE, RULES, alertmanager_config, quick
from tests.deploy.tools import documents, free_port, prometheus, server, tool, until
from tests.processes import watching
from tests.receiver import Receiver, receiving

QUIET_SECONDS = 5.0
"""Nothing may come twice in so many scrapes, evaluations and group intervals of a second each."""


def said(receiver: Receiver) -> list[str]:
    return [json.dumps(body) for _, body in list(receiver.taken)]


def test_firing_and_resolved_arrive_once_on_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    program = tool("prometheus-alertmanager", "alertmanager")
    tool("prometheus")
    for path in RULES:
        # An alert outlives the monitor's restarts by two minutes: no need to wait for that here.
        (tmp_path / path.name).write_text(
            path.read_text().replace("keep_firing_for: 2m", "keep_firing_for: 1s")
        )
    logs, go, port = tmp_path / "logs", tmp_path / "go", free_port()
    logs.mkdir()
    with receiving() as direct, receiving() as routed:
        monkeypatch.setenv("MONITOR_SLACK_WEBHOOK_URL", direct.address)
        config = alertmanager_config(routed.address, tmp_path)
        command = [program, f"--config.file={config}", f"--storage.path={tmp_path}/am"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        with (
            watching(logs, "--slack", "--state-dir", tmp_path / "state") as watch,
            server(command, port, tmp_path),
        ):
            shipped = quick(
                documents(HERE / "prometheus.yml")[0], watch.address, f"127.0.0.1:{port}"
            )
            script = [sys.executable, "-m", "tests.deploy.trainer", str(logs / "run"), str(go)]
            with (
                prometheus(shipped, tmp_path),
                subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as training,
            ):
                try:
                    assert training.stdout is not None
                    flushed = float(training.stdout.readline())
                    until(lambda: direct.taken, "the monitor's own message")
                    delay = direct.taken[0][0] - flushed
                    print(f"from flush to the message: {1000 * delay:.0f} ms")
                    until(lambda: routed.taken, "Alertmanager's message")
                    time.sleep(QUIET_SECONDS)
                    assert (len(direct.taken), len(routed.taken)) == (1, 1)
                    go.touch()
                    assert training.wait(60) == 0
                finally:
                    training.kill()
                until(lambda: len(direct.taken) > 1, "the monitor's own word that it is over")
                until(lambda: len(routed.taken) > 1, "Alertmanager's word that it is over")
                time.sleep(QUIET_SECONDS)
    fired, over = said(direct)
    assert "NaNWithinFirstSteps" in fired
    assert "step 60" in fired
    assert "What to try" in fired
    assert "NaNWithinFirstSteps" in over
    assert "resolved at step" in over
    fired, over = said(routed)
    assert "FIRING: run" in fired
    assert "NaNWithinFirstSteps" in fired
    assert "RESOLVED: run" in over
    assert delay < 10  # loosely: what it was is printed, and machines differ
