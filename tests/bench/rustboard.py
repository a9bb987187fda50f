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
ALL = 1 << 30
"""More points than a series has."""


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

    The CPU seconds are the whole life of the process: its start, the reading, and the answers
    while it was asked whether it is done; not the one that counts its points.
    """
    with serving(logdir, *flags) as server:
        _wait(lambda: server.last_steps() == expected, server.process)
        cpu, peak = cpu_of(server.process.pid), peak_memory(server.process.pid)
        return {"cpu": cpu, "peak": peak, "points": server.points(), "startup": 0.0}


def _wait(condition: Any, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"the data server ended with {process.returncode}")
        if time.monotonic() > end:
            raise RuntimeError(
                "the data server did not read the whole file "
                f"within {PATIENCE_SECONDS:.0f} s: it may have met a record it cannot read"
            )
        time.sleep(POLL_SECONDS)
