"""Kills training processes at random moments, and compares what they wrote with what is read back.

    python -m tests.hook.killed [TIMES] [SEED]

Torch is loaded once; each victim is forked from there and trains with the hook at every step, every
other one a network whose frames take many pages. Before and after each write the victim's writer
tells this process the digest of the record, through a pipe. What a reader then finds in the file
must be the records whose write had returned, and at most the one that was being written: in their
order, to the bit, and nothing else. Prints a line of counts; exits with 1 if a victim's file says
something else.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import monitor
from monitor.formats.bulk import Block
from monitor.formats.event import EventDecoder
from monitor.formats.records import Corruption, RecordReader
from monitor.hook.writer import Writer
from tests.hook.reading import health_files

LONGEST = 0.2
"""Seconds that a victim lives at most, begun with its first step."""

LARGE = 1500
DIGEST = 16
BEGINS, RETURNED = b"b", b"r"


@dataclass(frozen=True, slots=True)
class Death:
    """What one victim left behind."""

    wrong: str
    """What is wrong with its file; empty if nothing is."""
    records: int
    """Read back."""
    frames: int
    torn: bool
    """The file ends within a record."""


def victim(logdir: Path, pipe: int, large: bool) -> None:
    """Trains until it is killed."""
    append = Writer._append

    def told(self: Writer, payload: bytes) -> None:
        digest = hashlib.blake2b(payload, digest_size=DIGEST).digest()
        os.write(pipe, BEGINS + digest)
        append(self, payload)
        os.write(pipe, RETURNED + digest)

    Writer._append = told  # type: ignore[method-assign]
    layers = [nn.Linear(4, 4), nn.Tanh()] * (LARGE if large else 2)
    model = nn.Sequential(*layers, nn.Linear(4, 1))
    for i in range(LARGE if large else 0):
        model.register_parameter(f"p{i}", nn.Parameter(torch.zeros(1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    health = monitor.watch(model, optimizer, logdir=logdir, every=1)
    os.write(pipe, b"!")
    step = 0
    while True:
        optimizer.zero_grad()
        loss = model[-1](torch.ones(2, 4)).mean() if large else model(torch.ones(2, 4)).mean()
        loss.backward()
        optimizer.step()
        health.log({"train/loss": loss}, step)
        step += 1


def warm_up() -> None:
    """Load in this process what a first training step loads, so that no victim has to."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optimizer.zero_grad()
    model(torch.ones(1, 1)).mean().backward()
    optimizer.step()


def kill_one(logdir: Path, seconds: float, large: bool) -> Death:
    """Lets a victim train for so long, and looks at its file."""
    told, pipe = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(told)
            victim(logdir, pipe, large)
        finally:
            os._exit(3)
    os.close(pipe)
    said = os.read(told, 1)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    while more := os.read(told, 1 << 16):
        said += more
    os.close(told)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        return Death("it ended by itself", 0, 0, False)
    return compared(logdir, said[1:])


def compared(logdir: Path, said: bytes) -> Death:
    """What the file holds, against what its writer said."""
    entries = [said[i : i + 1 + DIGEST] for i in range(0, len(said), 1 + DIGEST)]
    entries = [entry for entry in entries if len(entry) == 1 + DIGEST]
    begun = [entry[1:] for entry in entries if entry[:1] == BEGINS]
    returned = [entry[1:] for entry in entries if entry[:1] == RETURNED]
    files = health_files(logdir)
    data = files[0].read_bytes() if files else b""
    reader, found = RecordReader(), list[bytes]()
    for record in reader.feed(data, final=False):
        if isinstance(record, Corruption):
            return Death(f"corrupt: {record}", 0, 0, True)
        if isinstance(record, Block):
            found += [record.payload(i) for i in range(len(record))]
        else:
            found.append(record)
    digests = [hashlib.blake2b(record, digest_size=DIGEST).digest() for record in found]
    whole = sum(len(record) + 16 for record in found)
    batch = EventDecoder(".", "w").decode(found)
    frames = {p.key.tag: len(p.steps) for p in batch.points}.get("layer/grad_norm", 0)
    wrong = ""
    if digests not in (returned, begun):
        wrong = f"{len(returned)} records were flushed, {len(found)} are read back"
    return Death(wrong, len(found), frames, whole < len(data))


def main() -> None:
    torch.set_num_threads(1)
    times, seed = (int(given) for given in (*sys.argv[1:], *("200", "0")[len(sys.argv) - 1 :]))
    chance = random.Random(seed)
    deaths = []
    warm_up()
    with tempfile.TemporaryDirectory() as root:
        for i in range(times):
            logdir = Path(root, str(i))
            deaths.append(kill_one(logdir, chance.uniform(0, LONGEST), large=i % 2 == 1))
    wrong = [death.wrong for death in deaths if death.wrong]
    print(
        f"{times} killed: {sum(d.records for d in deaths)} records with"
        f" {sum(d.frames for d in deaths)} frames read back;"
        f" {sum(d.torn for d in deaths)} files end within a record; {len(wrong)} wrong"
    )
    print(*wrong, sep="\n", end="")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
