"""Damage guided by coverage: atheris looks for input that takes the reader to new places.

The input is either the stream of decisions from which a case is made, so that small changes of
it are small changes of the damage; or bytes that stand, as they are, between good records.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path


class Decisions(random.Random):
    """A source of chance that takes its bits from ``data``, and is an ordinary one after that."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = b"", 0
        super().__init__(len(data))
        self._data = data

    def getrandbits(self, k: int) -> int:
        size = (k + 7) // 8
        if self._at + size > len(self._data):
            return super().getrandbits(k)
        taken = int.from_bytes(self._data[self._at : self._at + size], "little")
        self._at += size
        return taken >> 8 * size - k

    def random(self) -> float:
        return self.getrandbits(53) / (1 << 53)


def run(seconds: int, keep: Path) -> int:
    """Does not come back if all goes well: libFuzzer ends the process when the time is over."""
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: python -m pip install -c constraints.txt -e '.[fuzz]'")
        return 2
    with atheris.instrument_imports(include=["monitor.formats"]):
        from tests.fuzz import cases
    from tests.fuzz.shrink import save

    keep.mkdir(parents=True, exist_ok=True)

    def try_one(data: bytes) -> None:
        if data[:1] < b"\x80":
            tested = cases.case(Decisions(data[1:]), large_share=0.01)
        else:
            tested = cases.around(data[1:])
        verdict = cases.judge(tested)
        if verdict.wrong is not None:
            path = keep / "atheris.npz"
            save(tested, path)
            print(f"FAILED: {verdict.wrong}\n  again: python -m tests.fuzz --replay {path}")
            raise AssertionError(verdict.wrong)

    limits = [f"-max_total_time={seconds}", "-max_len=4096", f"-artifact_prefix={keep}/"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", "-rss_limit_mb=4096"], try_one)
    atheris.Fuzz()
    return 0
