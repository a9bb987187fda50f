"""The file, the queue and the process's end."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch.utils.tensorboard import SummaryWriter  # noqa: E402

import monitor  # noqa: E402
from monitor.formats.layerstats import Header, encode_frame  # noqa: E402
from monitor.hook.writer import Writer, file_name  # noqa: E402
from tests.hook.networks import inputs, mlp, train  # noqa: E402
from tests.hook.reading import Stream, headers  # noqa: E402


@dataclass
class Note:
    step: int
    header: Header | None = None
    wall_time: float = 0.0
    arrived: bool = True

    def ready(self) -> bool:
        return self.arrived

    def encode(self) -> bytes:
        if self.step == 13:
            raise ValueError("unlucky")
        return encode_frame(self.step, self.wall_time, 0, {}, {"x": float(self.step)})


def test_a_full_queue_drops_the_newest_and_counts(tmp_path: Path) -> None:
    writer = Writer(tmp_path / file_name(0.0), limit=2)
    assert [writer.offer(Note(step)) for step in range(4)] == [True, True, False, False]
    assert writer.dropped == 2
    writer.start()
    writer.close()
    assert Stream(tmp_path).steps("x") == [0, 1]


def test_a_bad_record_costs_itself(tmp_path: Path) -> None:
    writer = Writer(tmp_path / file_name(0.0))
    for step in (12, 13, 14):
        writer.offer(Note(step))
    writer.start()
    writer.close()
    assert Stream(tmp_path).steps("x") == [12, 14]
    assert writer.dropped == 1


def test_records_that_waited_do_not_seem_older_than_their_header(tmp_path: Path) -> None:
    writer = Writer(tmp_path / file_name(0.0))
    for step in range(3):
        writer.offer(Note(step, Header(1, {}), wall_time=100.0 + step))
    writer.start()
    writer.close()
    assert Stream(tmp_path).points["x"].clock.tolist() == [100.0, 101.0, 102.0]


def test_the_header_comes_again(tmp_path: Path) -> None:
    writer = Writer(tmp_path / file_name(0.0), limit=1000)
    header = Header(1, {})
    for step in range(20, 270):
        writer.offer(Note(step, header))
    writer.start()
    writer.close()
    assert len(list(headers(tmp_path))) == 3
    assert writer.written == 250


def test_a_full_disk_stops_the_file_not_the_training(caplog: pytest.LogCaptureFixture) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    writer = Writer(Path("/dev/full"))
    for step in range(3):
        writer.offer(Note(step))
    writer.start()
    writer.close()
    assert not writer.offer(Note(3))
    assert sum("no longer written" in record.message for record in caplog.records) == 1


def test_an_unusable_directory_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = train(mlp(), tmp_path / "file" / "run", steps=5)
    assert len(outcome.outputs) == 5
    assert sum("no longer written" in record.message for record in caplog.records) == 1


def test_names_sort_before_tensorboards(tmp_path: Path) -> None:
    assert file_name(1.9e9) < "events.out.tfevents.0000000001.host.1.0"
    assert file_name(1.9e9) != file_name(1.9e9)
    assert file_name(5.0).startswith("events.out.health.tfevents.0000000005.")


def test_tensorboard_shows_its_own_scalars_and_goes_on_doing_so(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator(str(tmp_path))
    board = SummaryWriter(str(tmp_path))
    board.add_scalar("loss", 1.0, 0)
    board.flush()
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with monitor.watch(network, optimizer, logdir=board.log_dir):
        network(inputs(network, 0)).sum().backward()
        optimizer.step()
    accumulator.Reload()
    board.add_scalar("loss", 0.5, 1)
    board.close()
    accumulator.Reload()
    tags = accumulator.Tags()
    assert tags["scalars"] == ["loss"]
    assert [event.step for event in accumulator.Scalars("loss")] == [0, 1]
    assert not tags["histograms"]
    assert not tags["images"]


TRAINING = """
import sys, torch, monitor
torch.set_num_threads(1)
network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
health = monitor.watch(network, optimizer, logdir=sys.argv[1])
for step in range(12):
    optimizer.zero_grad()
    network(torch.ones(2, 4)).sum().backward()
    optimizer.step()
"""


def run(code: str, logdir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, str(logdir)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )


@pytest.mark.parametrize(
    ("ending", "code", "over"),
    [
        ("", 0, True),
        ("sys.exit(3)", 3, True),
        ("raise KeyboardInterrupt", 130, True),
        ("raise RuntimeError('CUDA out of memory')", 1, False),
        ("with health: raise RuntimeError('CUDA out of memory')", 1, False),
    ],
)
def test_the_end_of_the_process_flushes(ending: str, code: int, over: bool, tmp_path: Path) -> None:
    done = run(TRAINING + ending, tmp_path)
    assert done.returncode in (code, -2), done.stderr
    stream = Stream(tmp_path)
    assert stream.steps("layer/grad_norm") == list(range(12))
    assert stream.ended is over  # a run that died is silent, and its silence is news


FORK = """
import os
pid = os.fork()
for step in range(12, 15 if pid else 30):
    optimizer.zero_grad()
    network(torch.ones(2, 4)).sum().backward()
    optimizer.step()
if pid:
    os.waitpid(pid, 0)
else:
    health.close()
    sys.exit(0)
"""


def test_a_forked_child_writes_nothing(tmp_path: Path) -> None:
    done = run(TRAINING + FORK, tmp_path)
    assert done.returncode == 0, done.stderr
    assert Stream(tmp_path).steps("layer/grad_norm") == list(range(15))


ALONE = """
import sys
NOT_OURS = (
    "numpy", "yaml", "pydantic", "watchdog", "prometheus_client", "click", "rich", "starlette",
    "uvicorn", "httpx", "tensorboard", "slack_sdk",
)
for name in NOT_OURS:
    sys.modules[name] = None
import monitor.hook
ours = sorted(name for name in sys.modules if name.startswith("monitor"))
print("ours", *ours)
"""


def test_it_needs_torch_and_the_formats_only(tmp_path: Path) -> None:
    done = run(ALONE + TRAINING + "health.close()", tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = next(line for line in done.stdout.splitlines() if line.startswith("ours")).split()[1:]
    rooms = {name.split(".")[1] for name in loaded if "." in name}
    assert rooms == {"formats", "hook"}
    assert {name for name in loaded if name.startswith("monitor.formats.")} <= {
        f"monitor.formats.{name}" for name in ("layerstats", "tfrecord", "wire", "crc")
    }
    assert Stream(tmp_path).ended
