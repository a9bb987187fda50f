"""Rules and configurations by the programs that read them, and the whole way of an alert."""

from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import (
    DEPLOY,
    call,
    documents,
    free_port,
    prometheus,
    query,
    server,
    slack,
    tool,
    until,
)
from tests.events import NAN, Run, falling
from tests.processes import watching

HERE = DEPLOY / "prometheus"
RULES = sorted(HERE.glob("*.rules.yaml"))


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_rules_are_good(rules: Path) -> None:
    call(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", rules)


def test_the_configuration_is_good() -> None:
    call(tool("promtool"), "check", "config", HERE / "prometheus.yml")


@pytest.mark.parametrize("test", sorted((HERE / "tests").glob("*.yaml")), ids=lambda p: p.name)
def test_unit_tests_of_the_rules(test: Path) -> None:
    call(tool("promtool"), "test", "rules", test)


def test_alertmanagers_configuration_is_good() -> None:
    call(tool("amtool"), "check-config", HERE / "alertmanager.yml")


def test_the_rules_use_only_metrics_that_there_are(tmp_path: Path) -> None:
    used = {name for path in RULES for name in re.findall(r"training_\w+", path.read_text())}
    with watching(tmp_path) as watch:
        there = {
            line.split()[2] for line in watch.get("/metrics")[1].splitlines() if "# TYPE" in line
        }
    assert used
    assert used - there == set()


def test_every_alert_is_unit_tested() -> None:
    tested = "".join(path.read_text() for path in (HERE / "tests").glob("*.yaml"))
    alerts = [r["alert"] for p in RULES for g in documents(p)[0]["groups"] for r in g["rules"]]
    assert len(alerts) >= 11
    assert [alert for alert in alerts if alert not in tested] == []


def quick(config: dict[str, Any], monitor: str, alertmanager: str) -> dict[str, Any]:
    """The shipped configuration with other addresses, and every second."""
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [monitor.removeprefix("http://")]}]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    return config


def alertmanager_config(webhook: str, directory: Path) -> Path:
    """The shipped configuration with another webhook, and without waiting."""
    text = (HERE / "alertmanager.yml").read_text()
    secret = directory / "webhook"
    secret.write_text(webhook)
    for old, new in {
        "/etc/alertmanager/secrets/slack-webhook-url": str(secret),
        "group_wait: 10s": "group_wait: 1s",
        "group_interval: 1m": "group_interval: 1s",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = directory / "alertmanager.yml"
    path.write_text(text)
    return path


def test_an_alert_arrives_and_the_monitors_death_is_no_recovery(tmp_path: Path) -> None:
    program = tool("prometheus-alertmanager", "alertmanager")
    tool("prometheus")
    for path in RULES:
        shutil.copy(path, tmp_path)
    port = free_port()
    training = Run(tmp_path / "logs" / "<!channel> sick")
    for loss in [*falling(40), NAN]:
        training.log(train__loss=loss)
    training.close()
    with slack() as receiver, watching(tmp_path / "logs") as watch:
        config = alertmanager_config(receiver.url, tmp_path)
        command = [program, f"--config.file={config}", f"--storage.path={tmp_path}/am"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        shipped = quick(documents(HERE / "prometheus.yml")[0], watch.address, f"127.0.0.1:{port}")
        with server(command, port, tmp_path), prometheus(shipped, tmp_path) as address:
            until(lambda: receiver.messages, "a message")
            (text,) = receiver.texts()
            assert "<!" not in text
            assert "FIRING: &lt;!channel> sick" in text
            assert "&lt;!channel> sick: NaNWithinFirstSteps" in text
            assert f"{watch.address}/?run=%3C%21channel%3E+sick" in text
            assert "at step 40" in text
            assert "critical" in text

            watch.signal(signal.SIGKILL)
            until(lambda: not query(address, "training_alert_active"), "the series being stale")
            assert query(address, "up")[0]["value"][1] == "0"
            time.sleep(5)  # five evaluations and five group intervals
            assert query(address, 'ALERTS{alertname="TrainingAlert",alertstate="firing"}')
            assert [text for text in receiver.texts() if "RESOLVED" in text.upper()] == []
            assert len(receiver.messages) == 1


def test_prometheus_is_let_in_with_its_certificate_and_password(tmp_path: Path) -> None:
    """One web configuration for what Prometheus' own exporters take, and for us."""
    tool("prometheus")
    trustme, bcrypt = pytest.importorskip("trustme"), pytest.importorskip("bcrypt")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
    authority.cert_pem.write_to_path(str(tmp_path / "authority"))
    hashed = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(
        "tls_server_config: {cert_file: certificate, key_file: key, min_version: TLS12}\n"
        f"basic_auth_users: {{prometheus: '{hashed}'}}\n"
    )
    call(tool("promtool"), "check", "web-config", web)
    (tmp_path / "logs").mkdir()
    with watching(tmp_path / "logs", "--web-config", web, ready=False) as watch:
        assert watch.logged("https://127.0.0.1")
        target = {"targets": [f"127.0.0.1:{watch.address.rpartition(':')[2]}"]}
        job: dict[str, Any] = {"scheme": "https", "static_configs": [target]}
        job["tls_config"] = {"ca_file": str(tmp_path / "authority")}
        known = {**job, "job_name": "known"}
        known["basic_auth"] = {"username": "prometheus", "password": "hunter2"}
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [known, {**job, "job_name": "stranger"}],
        }
        with prometheus(config, tmp_path) as address:
            until(lambda: query(address, 'training_monitor_ready{job="known"} == 1'), "a scrape")
            until(lambda: query(address, 'up{job="stranger"}'), "a refusal")
            assert query(address, 'up{job="stranger"}')[0]["value"][1] == "0"
            assert query(address, 'up{job="known"}')[0]["value"][1] == "1"
