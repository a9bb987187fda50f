"""CRC-32C against published values; the portable version against the fast one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.formats import crc


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_known_values(data: bytes, expected: int) -> None:
    assert crc.crc32c(data) == crc.portable(data) == expected


def test_masked_is_what_event_files_hold() -> None:
    assert crc.masked(bytes(8)).to_bytes(4, "little").hex() == "29039807"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_portable_equals_fast(data: bytes) -> None:
    assert crc.portable(data) == crc.crc32c(data)


def test_a_training_process_needs_nothing_else() -> None:
    """Framing loads no numpy, and works where the wheel is missing."""
    code = (
        "import sys; sys.modules['google_crc32c'] = None\n"
        "from monitor.formats import crc, tfrecord\n"
        "assert crc.crc32c is crc.portable and 'numpy' not in sys.modules\n"
        "assert tfrecord.encode(b'a').hex() == '01000000000000000175de4161786ee428'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
