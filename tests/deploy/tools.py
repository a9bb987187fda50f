"""Programs that the files under ``deploy/`` are for, and servers of them on loopback."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
PATIENCE_SECONDS = 60.0


def tool(*names: str) -> str:
    """Path of the first of these programs that is installed; skips the test where none is."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed")


def call(*command: str | Path, directory: Path | None = None) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def documents(path: Path) -> list[Any]:
    """The YAML documents of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], object], what: str) -> None:
    """Polls until ``condition`` holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.1)


@contextmanager
def server(command: list[str], port: int, directory: Path) -> Iterator[str]:
    """A server of the Prometheus family, ready; yields its address."""
    log = directory / f"{Path(command[0]).name}.log"
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=directory)
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while not _ready(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield address
        finally:
            process.kill()
            process.wait()


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def prometheus(config: dict[str, Any], directory: Path) -> Any:
    """A real Prometheus with this configuration."""
    program = tool("prometheus")
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [program, "--config.file=prometheus.yml", f"--storage.tsdb.path={directory}/tsdb"]
    return server([*command, f"--web.listen-address=127.0.0.1:{port}"], port, directory)


def query(address: str, expression: str) -> list[dict[str, Any]]:
    """The series that PromQL finds now."""
    text = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?{text}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expression}: {error.read().decode()}") from error


@dataclass
class Receiver:
    """What a Slack-compatible webhook was sent."""

    url: str
    messages: list[dict[str, Any]] = field(default_factory=list)

    def texts(self) -> list[str]:
        return [json.dumps(message) for message in self.messages]


@contextmanager
def slack() -> Iterator[Receiver]:
    """A server on loopback that takes messages as Slack's incoming webhooks do."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            receiver.messages.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        receiver = Receiver(f"http://127.0.0.1:{http.server_address[1]}/services/T0/B0/X")
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            http.shutdown()
            thread.join()
