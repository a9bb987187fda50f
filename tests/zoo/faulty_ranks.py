"""Faults: ranks of one run that no longer train the same model."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from tests.zoo import rank
from tests.zoo.kinds import faulty
from tests.zoo.script import Script

BESIDE = ("plateau", "slow_learning", "overfitting", "loss_spike", "divergence", "gradient_noise",
    "update_ratio")  # fmt: skip


def _two(script: Script, fault: str) -> None:
    """Two processes, each with its own writer and hook, joined by gloo."""
    with tempfile.TemporaryDirectory() as there:
        command = [sys.executable, "-m", rank.__name__, fault]
        processes = [
            subprocess.Popen([*command, str(i), str(script.seed), str(script.place), there])
            for i in range(rank.RANKS)
        ]
        codes = [process.wait(timeout=120) for process in processes]
    if any(codes):
        raise RuntimeError(f"the ranks ended with {codes}")
    script.note.last = rank.STEPS - 1


@faulty("rank_divergence", beside=BESIDE)
def gradients_not_averaged(script: Script) -> None:
    """The unwrapped model is trained: each rank goes its own way from the first step on."""
    _two(script, "not_averaged")


@faulty("rank_divergence", beside=BESIDE)
def one_rank_stops_listening(script: Script) -> None:
    """From a step on one rank's updates are skipped by its own check, and not by the other's."""
    _two(script, "one_skips")
    script.onset(rank.SKIPS_FROM)


@faulty("rank_divergence", beside=BESIDE)
def schedule_on_the_first_rank_only(script: Script) -> None:
    """The rate is lowered by the process that writes checkpoints, and by no other."""
    _two(script, "own_schedule")
    script.onset(100)
