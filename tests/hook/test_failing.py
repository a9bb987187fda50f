"""What ends writing: a killed process, a full disk; and a file that is read while it is written."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import monitor  # noqa: E402
from monitor.formats.event import EventDecoder  # noqa: E402
from monitor.formats.records import Corruption, RecordReader  # noqa: E402
from monitor.points import Batch  # noqa: E402
from tests.hook.networks import inputs, mlp, train  # noqa: E402
from tests.hook.reading import Stream, health_files, payloads  # noqa: E402

KILLED = 24


def test_killed_processes_leave_every_flushed_record_and_no_other() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hook.killed", str(KILLED), str(random.randrange(1 << 30))],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{KILLED} killed: ")
    assert int(done.stdout.split()[2]) > KILLED  # they did get round to writing


# --- torn frames ------------------------------------------------------------------------------


def written(logdir: Path, steps: int) -> bytes:
    torch.manual_seed(0)
    train(mlp(), logdir, steps=steps)
    return health_files(logdir)[0].read_bytes()


def rows(batch: Batch) -> int:
    return sum(points.values.size for points in batch.points)


def test_a_frame_is_data_once_it_is_whole_wherever_it_was_cut(tmp_path: Path) -> None:
    """Byte by byte: what is read never runs ahead of the frames that are there in full."""
    data = written(tmp_path, steps=2)
    ends, at = list[int](), 0
    for payload in payloads(tmp_path):
        at += len(payload) + 16
        ends.append(at)
    assert at == len(data)
    reader, decoder, read = RecordReader(), EventDecoder(".", "w"), 0
    values = list[int]()
    for position in range(len(data)):
        records = reader.feed(data[position : position + 1], final=False)
        assert not any(isinstance(record, Corruption) for record in records)
        read += len(records)
        assert read == sum(end <= position + 1 for end in ends)
        if records:
            values.append(rows(decoder.decode([r for r in records if isinstance(r, bytes)])))
    whole = EventDecoder(".", "w").decode(payloads(tmp_path))
    assert sum(values) == rows(whole) > 0


def test_the_rest_of_a_torn_frame_is_not_taken_for_data(tmp_path: Path) -> None:
    """The writer died within a frame, and another one appended to the same file."""
    data = written(tmp_path, steps=6)
    sizes = [len(payload) + 16 for payload in payloads(tmp_path)]
    frame = max(range(2, len(sizes) - 1), key=sizes.__getitem__)  # not the first, nor the header
    begin = sum(sizes[:frame])
    intact = payloads(tmp_path)[:frame] + payloads(tmp_path)[frame + 1 :]
    for cut in range(begin + 1, begin + sizes[frame], 7):
        torn = data[:cut] + data[begin + sizes[frame] :]
        found = RecordReader().feed(torn, final=True)
        assert [record for record in found if isinstance(record, bytes)] == intact
        assert sum(isinstance(record, Corruption) for record in found) == 1


def test_reading_beside_the_writer(tmp_path: Path) -> None:
    """Every read in the middle of training sees whole frames, and in the end all of them."""
    network = nn.Sequential(*(nn.Linear(8, 8) for _ in range(40)))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    reader, seen = RecordReader(), list[bytes]()
    read = 0
    with monitor.watch(network, optimizer, logdir=tmp_path, every=1):
        for step in range(60):
            optimizer.zero_grad()
            network(inputs(network, step)).sum().backward()
            optimizer.step()
            for path in health_files(tmp_path):
                with path.open("rb") as file:
                    file.seek(read)
                    new = file.read()
                read += len(new)
                for record in reader.feed(new, final=False):
                    assert isinstance(record, bytes)
                    seen.append(record)
    with health_files(tmp_path)[0].open("rb") as file:
        file.seek(read)
        seen += [r for r in reader.feed(file.read(), final=True) if isinstance(r, bytes)]
    assert seen == payloads(tmp_path)
    assert Stream(tmp_path).steps("layer/grad_norm") == list(range(60))


def test_a_frame_without_its_header_is_no_data(tmp_path: Path) -> None:
    written(tmp_path, steps=3)
    frames = payloads(tmp_path)[1:]
    batch = EventDecoder(".", "w").decode(frames)
    assert not [points for points in batch.points if points.layers is not None]


# --- disks --------------------------------------------------------------------------------------

LIMIT = 20_000

TRAINING = """
import logging, resource, signal, sys, torch, monitor
torch.set_num_threads(1)
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if sys.argv[2] == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
health = monitor.watch(network, optimizer, logdir=sys.argv[1], every=1)
for step in range(150):
    optimizer.zero_grad()
    loss = network(torch.ones(2, 4)).square().sum()
    loss.backward()
    optimizer.step()
    health.log({"train/loss": loss}, step)
health.close()
print(health.dropped, *(float(p.sum()).hex() for p in network.parameters()))
"""


def trained(logdir: Path, how: str, limit: int = LIMIT) -> tuple[int, list[str], str]:
    """(records dropped, weights, what was said) of a real training."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(logdir), how, str(limit)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    dropped, *weights = done.stdout.split()
    return int(dropped), weights, done.stderr


@functools.cache
def unlimited() -> tuple[int, list[str], str]:
    with tempfile.TemporaryDirectory() as free:
        return trained(Path(free), "free")


def stops_quietly(logdir: Path, how: str, reason: str, limit: int = LIMIT) -> None:
    """Training goes on to the same weights, the trouble is said once, what was written is good."""
    _, expected, _ = unlimited()
    dropped, weights, said = trained(logdir, how, limit)
    assert weights == expected
    assert dropped > 0
    assert said.count("no longer written, training goes on") == 1
    assert reason in said
    data, reader = health_files(logdir)[0].read_bytes(), RecordReader()
    # In pieces: of much at once it makes blocks.
    found = [
        record for i in range(0, len(data), 5000) for record in reader.feed(data[i : i + 5000])
    ]
    good = [record for record in found if isinstance(record, bytes)]
    assert good
    assert 16 * len(good) + sum(map(len, good)) >= len(data) - 2000  # one frame may be torn
    batch = EventDecoder(".", "w").decode(good)
    steps = next(p.steps for p in batch.points if p.key.tag == "layer/grad_norm")
    assert list(steps) == list(range(len(steps)))


def test_a_file_that_may_not_grow_any_more(tmp_path: Path) -> None:
    stops_quietly(tmp_path / "run", "limited", "File too large")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(40_000))
    stops_quietly(small_disk / "run", "full", "No space left")
