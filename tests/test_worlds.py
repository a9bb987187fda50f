"""Two worlds: the daemon never loads torch, the training process never loads the daemon."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

DAEMON = {"pydantic", "yaml", "click", "rich", "structlog", "prometheus_client", "watchdog"} | {
    "starlette",
    "uvicorn",
}
FRAMEWORKS = {"accelerate", "ignite", "lightning", "pytorch_lightning", "transformers"}
OURS = ("daemon", "engine", "rules", "detectors", "points", "series", "sinks", "sources", "web")


def loaded(code: str) -> set[str]:
    """Top-level packages and modules of ours in sys.modules after ``code``."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    names = result.stdout.split()
    return {n.split(".")[0] for n in names} | {n for n in names if n.startswith("monitor.")}


def test_importing_the_package_loads_nothing() -> None:
    found = loaded("import monitor")
    assert not found & (DAEMON | {"numpy", "torch"})
    assert not any(name.startswith("monitor.") for name in found)


def test_the_daemon_never_loads_torch() -> None:
    code = (
        "import monitor.cli, monitor.daemon, monitor.follower, monitor.terminal, monitor.web\n"
        "from monitor.rules import load\nload(None)"
    )
    found = loaded(code)
    assert "torch" not in found
    assert "tensorboard" not in found
    assert "monitor.hook" not in found


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_the_hook_loads_nothing_of_the_daemon() -> None:
    found = loaded("import monitor; monitor.watch")
    assert "monitor.hook" in found
    assert not found & DAEMON
    assert not {f"monitor.{name}" for name in OURS} & found
    assert "monitor.adapters" not in found
    assert not found & FRAMEWORKS


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_a_preflight_loads_nothing_of_ours_but_itself() -> None:
    found = loaded("import monitor; monitor.preflight")
    ours = {name for name in found if name.startswith("monitor.")}
    assert "monitor.experiments" in ours
    assert {name for name in ours if not name.startswith("monitor.experiments")} == set()
    assert not found & (DAEMON | FRAMEWORKS)
