"""Clocks and memory of this process and of another, and percentiles."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.bench.measure import MB, cpu_of, memory, own_cpu, peak_memory, percentile


def test_percentiles() -> None:
    values = [float(i) for i in range(100, 0, -1)]
    assert [percentile(values, p) for p in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert percentile([7.0], 50) == 7


def test_the_clock_of_a_process_is_its_cpu_time_alone() -> None:
    mine, theirs = own_cpu(), cpu_of(os.getpid())
    time.sleep(0.2)
    assert own_cpu() - mine < 0.1
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert 0.1 <= cpu_of(os.getpid()) - theirs < 0.3
    assert own_cpu() - mine >= 0.1


def test_the_peak_of_a_process_is_not_its_parents() -> None:
    ballast = b"x" * (100 * MB)
    assert min(memory(), peak_memory()) > len(ballast)
    code = "from tests.bench.measure import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert 1 * MB < int(child.stdout) < 80 * MB
