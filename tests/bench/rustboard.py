"""TensorBoard's data server in Rust as one more reader: started, asked until done, stopped."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.measure import cpu_of, peak_memory

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.02
REST_SHARE = 0.01
"""Of a core: a process that takes less than that for five polls has nothing to do."""
ALL = 1 << 30
"""More points than a series has."""


class ServerError(Exception):
    """The data server did not do its work; the message is for people."""


@dataclass
class Server:
    """A running data server."""

    process: subprocess.Popen[bytes]
    stub: Any

    def last_steps(self) -> Mapping[str, int]:
        """Tag -> its greatest step so far."""
        from tensorboard.data.proto import data_provider_pb2 as proto

        request = proto.ListScalarsRequest(experiment_id="x")
        request.plugin_filter.plugin_name = "scalars"
        answer = self.stub.ListScalars(request, timeout=60)
        return {tag.tag_name: tag.metadata.max_step for run in answer.runs for tag in run.tags}

    def points(self) -> int:
        """How many points it has kept, of all tags."""
        from tensorboard.data.proto import data_provider_pb2 as proto

        request = proto.ReadScalarsRequest(experiment_id="x")
        request.plugin_filter.plugin_name = "scalars"
        request.downsample.num_points = ALL
        answer = self.stub.ReadScalars(request, timeout=60)
        return sum(len(tag.data.step) for run in answer.runs for tag in run.tags)


@contextmanager
def serving(logdir: Path, *flags: str) -> Iterator[Server]:
    """The server on ``logdir``, which it reads once; its port is learned as TensorBoard does."""
    import grpc
    import tensorboard_data_server
    from tensorboard.data.grpc_provider import make_stub

    with tempfile.TemporaryDirectory() as directory:
        port_file = Path(directory) / "port"
        command = [tensorboard_data_server.server_binary(), f"--logdir={logdir}", "--reload=once"]
        command += ["--port=0", f"--port-file={port_file}", "--die-after-stdin", *flags]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            _wait(lambda: port_file.exists() and port_file.read_text().endswith("\n"), process)
            options = [("grpc.max_receive_message_length", -1)]
            address = f"localhost:{port_file.read_text().strip()}"
            credentials = grpc.local_channel_credentials()
            with grpc.secure_channel(address, credentials, options) as channel:
                yield Server(process, make_stub(channel))
        finally:
            process.kill()
            process.communicate()


def read(logdir: Path, expected: Mapping[str, int], *flags: str) -> dict[str, float]:
    """Has ``logdir`` read until each tag has got to its last step as ``expected``.

    The CPU seconds are those of the process from its start to the end of reading. To answer it
    goes through all points, so it is asked only when it seems to be done.
    """
    with serving(logdir, *flags) as server:
        pid, cpu = server.process.pid, 0.0

        def done() -> bool:
            nonlocal cpu
            cpu = _at_rest(pid)
            return server.last_steps() == expected

        _wait(done, server.process)
        peak = peak_memory(pid)
        return {"cpu": cpu, "peak": peak, "points": server.points(), "startup": 0.0}


def _at_rest(pid: int) -> float:
    """Waits until a process does nothing for a while; its CPU seconds then."""
    before, still = -1.0, 0
    while still < 5:
        now = cpu_of(pid)
        still = still + 1 if now - before < REST_SHARE * POLL_SECONDS else 0
        before = now
        time.sleep(POLL_SECONDS)
    return before


def _wait(condition: Any, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if process.poll() is not None:
            raise ServerError(f"the data server ended with {process.returncode}")
        if time.monotonic() > end:
            raise ServerError(
                "the data server did not read the whole file "
                f"within {PATIENCE_SECONDS:.0f} s: it may have met a record it cannot read"
            )
        time.sleep(POLL_SECONDS)
