"""What the benchmarks measure with: CPU seconds and memory of a process, percentiles."""

from __future__ import annotations

import math
import re
import resource
import time
from collections.abc import Sequence
from pathlib import Path

MB = 1 << 20


def own_cpu() -> float:
    """CPU seconds of this process, all its threads, and its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def cpu_of(pid: int) -> float:
    """CPU seconds of another process so far, threads that have ended included.

    Linux's clock of a process (``clock_getcpuclockid``): nanoseconds, where /proc counts in
    hundredths of a second.
    """
    return time.clock_gettime(~pid << 3 | 2)


def peak_memory(pid: int | str = "self") -> int:
    """The most bytes that a process ever had in memory.

    Not ``ru_maxrss``: that one is inherited from the process that started this one.
    """
    return _status(pid, "VmHWM")


def memory(pid: int | str = "self") -> int:
    """Bytes that a process has in memory now."""
    return _status(pid, "VmRSS")


def _status(pid: int | str, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None, f"/proc/{pid}/status has no {field}"
    return 1024 * int(found[1])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
