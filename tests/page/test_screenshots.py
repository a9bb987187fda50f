"""The pictures of the README and of the page's document are those that the program makes."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.page.browser import needs_chromium
from tests.page.screenshots import FOLDER, main

pytestmark = needs_chromium
ROOT = Path(__file__).parents[2]


def width(path: Path) -> int:
    """Of a PNG file, in pixels."""
    found: int = struct.unpack(">I", path.read_bytes()[16:20])[0]
    return found


def test_every_picture_that_is_shown_is_made(tmp_path: Path) -> None:
    main(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in FOLDER.glob("run*.png")}
    for name in made:
        assert width(tmp_path / name) == width(FOLDER / name)
    pages = (ROOT / "README.md", ROOT / "docs" / "page.md")
    shown = {
        name for page in pages for name in re.findall(r"images/([\w-]+\.png)", page.read_text())
    }
    assert shown <= made
    assert {"runs-light.png", "run-gradients-light.png"} <= shown
