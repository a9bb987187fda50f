"""Image, compose file, Kubernetes, systemd and Slurm, as far as they can be judged offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Command, Group

from monitor.cli import main
from tests.deploy.tools import DEPLOY, call, documents, tool

KINDS = ("job", "jobset", "pytorchjob")


def inside(thing: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a document."""
    if isinstance(thing, dict):
        yield thing
        for value in thing.values():
            yield from inside(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from inside(value)


def built(kind: str) -> list[dict[str, Any]]:
    """What ``kubectl apply -k`` would send."""
    text = call(tool("kubectl"), "kustomize", DEPLOY / "kubernetes" / kind)
    found: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    return found


def watched_pod(kind: str) -> dict[str, Any]:
    (training,) = documents(DEPLOY / "kubernetes" / kind / "training.yaml")
    (pod,) = [each for each in inside(training) if "initContainers" in each]
    return pod


@pytest.mark.parametrize("kind", KINDS)
def test_kustomize_builds_the_training_and_its_monitoring(kind: str) -> None:
    kinds = {document["kind"].lower() for document in built(kind)}
    assert kinds == {kind, "podmonitor", "prometheusrule"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_kubernetes_own_schemas_know_every_field(kind: str, version: str) -> None:
    """Of what is its own: JobSet, PyTorchJob and the operator's kinds have no schema here."""
    kubernetes = pytest.importorskip("kubernetes_validate")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "training"}}
    own = [each for each in built(kind) if each["kind"] == "Job"]
    for document in ({**pod, "spec": {"restartPolicy": "Never", **watched_pod(kind)}}, *own):
        kubernetes.validate(document, version, strict=True)
        with pytest.raises(kubernetes.ValidationError):
            kubernetes.validate({**document, "spek": {}}, version, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sidecar_can_neither_hold_up_nor_hurt_the_training(kind: str) -> None:
    pod = watched_pod(kind)
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert not {"startupProbe", "readinessProbe", "lifecycle"} & sidecar.keys()
    assert sidecar["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    assert sidecar["resources"]["limits"].keys() == {"cpu", "memory"}
    assert sidecar["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert [mount["readOnly"] for mount in sidecar["volumeMounts"]] == [True]
    volumes = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    (trainer,) = pod["containers"]
    for container in (sidecar, trainer):
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_sidecar_is_the_same_everywhere() -> None:
    first, *others = (watched_pod(kind)["initContainers"] for kind in KINDS)
    assert all(other == first for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pod_monitor_finds_the_pod_and_its_port(kind: str) -> None:
    (scrape,) = documents(DEPLOY / "kubernetes" / "base" / "podmonitor.yaml")
    wanted = scrape["spec"]["selector"]["matchLabels"]
    (training,) = documents(DEPLOY / "kubernetes" / kind / "training.yaml")
    templates = [each for each in inside(training) if "initContainers" in each.get("spec", {})]
    assert [template["metadata"]["labels"] for template in templates] == [wanted]
    (endpoint,) = scrape["spec"]["podMetricsEndpoints"]
    ports = watched_pod(kind)["initContainers"][0]["ports"]
    assert endpoint["port"] in {port["name"] for port in ports}
    # The rules know the job by this name, with the namespace before it.
    assert scrape["metadata"]["name"] == "training-health"


def test_the_prometheus_rule_holds_the_rules() -> None:
    (rule,) = documents(DEPLOY / "kubernetes" / "base" / "prometheusrule.yaml")
    names = ("training.rules.yaml", "sidecar.rules.yaml")
    files = [documents(DEPLOY / "prometheus" / name)[0] for name in names]
    assert rule["spec"]["groups"] == [group for file in files for group in file["groups"]]


def test_the_image_is_small_and_has_no_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last = text.split("\nFROM ")[-1]
    assert "AS monitor" in last
    assert "USER 65532:65532" in last
    assert "torch" not in last.split("\n", 1)[1]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sources = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    for source in " ".join(sources).split():
        assert (DEPLOY.parent / source).exists()
        assert f"!{source}" in ignored


def test_the_compose_file_mounts_what_there_is_and_the_logs_read_only() -> None:
    path = DEPLOY / "compose" / "compose.yaml"
    (file,) = documents(path)
    services = file["services"]
    assert services.keys() >= {"trainer", "monitor", "prometheus", "alertmanager", "grafana"}
    assert services["monitor"]["volumes"] == ["logs:/logs:ro"]
    assert services["monitor"]["read_only"] is True
    for name, service in services.items():
        assert ("image" in service) != ("build" in service), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "nothing has a password"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in file["volumes"] or (path.parent / source).exists(), volume
        if "build" in service:
            context = path.parent / service["build"]["context"]
            dockerfile = context / service["build"]["dockerfile"]
            assert f"AS {service['build']['target']}\n" in dockerfile.read_text()
    scrape = documents(DEPLOY / "prometheus" / "prometheus.yml")[0]["scrape_configs"][0]
    assert scrape["static_configs"][0]["targets"] == ["monitor:6016"]
    secret = services["alertmanager"]["secrets"][0]["target"]
    assert secret in (DEPLOY / "prometheus" / "alertmanager.yml").read_text()


def test_the_training_of_the_compose_file_falls_ill(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    call(sys.executable, DEPLOY / "compose" / "train.py", tmp_path / "example", "400", "0.001")
    checked = subprocess.run(
        [sys.executable, "-m", "monitor", "check", str(tmp_path), "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 1
    fired = [alert["fired_step"] for alert in json.loads(checked.stdout)]
    # The hook looks more rarely on a busy machine: of layers it may tell later.
    assert 200 <= min(fired) < 300, fired


def test_the_unit_is_good(tmp_path: Path) -> None:
    program = tool("systemd-analyze")
    text = (DEPLOY / "systemd" / "training-health-monitor.service").read_text()
    assert "/opt/training-health/bin/monitor" in text
    assert "MONITOR_OPTIONS=--slack" in text
    assert " $MONITOR_OPTIONS\n" in text, "as words of their own, and none where it is not set"
    unit = tmp_path / "training-health-monitor.service"
    unit.write_text(text.replace("/opt/training-health/bin/monitor", "/bin/true"))
    said = call(program, "verify", "--man=no", unit)
    # Other units of the machine may have faults of their own.
    assert [line for line in said.splitlines() if unit.name in line] == []


SCRIPTS = sorted((DEPLOY / "slurm").iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script: Path) -> None:
    call(tool("bash"), "-n", script)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    # Its package installs it beside the interpreter, which may not be on the PATH.
    call(shutil.which("shellcheck", path=Path(sys.executable).parent) or tool("shellcheck"), script)


@pytest.mark.parametrize("works", [True, False])
def test_prolog_and_epilog_never_fail(tmp_path: Path, works: bool) -> None:
    """Run with stand-ins for the programs of systemd and Slurm that note what they were told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemd-run", "systemctl", "scontrol", "hostname", "chown", "logger"):
        says = (
            "echo node1"
            if name in {"hostname", "scontrol"}
            else f'echo {name} "$@" >>{tmp_path}/told'
        )
        status = 0 if works or name in {"hostname", "scontrol"} else 1
        (programs / name).write_text(f"#!/bin/sh\n{says}\nexit {status}\n")
        (programs / name).chmod(0o755)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "71234",
        "SLURM_JOB_UID": "1000",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "TRAINING_HEALTH_LOGS": f"{tmp_path}/logs",
        "TRAINING_HEALTH_TARGETS": f"{tmp_path}/targets",
        "TRAINING_HEALTH_LINGER_SECONDS": "0",
    }
    target = tmp_path / "targets" / "71234.json"
    for name, there in (("prolog.sh", works), ("epilog.sh", False)):
        script = ["bash", str(DEPLOY / "slurm" / name)]
        done = subprocess.run(script, env=environment, check=False, timeout=30)
        assert done.returncode == 0
        assert target.exists() == there
        if there:
            assert json.loads(target.read_text())[0]["targets"] == ["node1:21234"]
    told = (tmp_path / "told").read_text()
    assert "systemd-run" in told
    assert ("systemctl stop training-health-71234" in told) == works
    assert ("logger" in told) != works


def options(command: Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_every_option_that_is_used_is_there() -> None:
    assert isinstance(main, Group)
    known = options(main.commands["watch"])
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".md"]
    lines = [line for path in files for line in path.read_text().splitlines() if "--listen" in line]
    assert len(lines) >= 6
    for line in lines:
        used = set(re.findall(r"--[a-z-]+", line.split("watch", 1)[1]))
        assert used <= known, line
