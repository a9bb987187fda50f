"""Pages that are made from the code, so that they cannot be wrong about it: ``make docs``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from monitor.detectors import DETECTORS
from monitor.rules import default_path, json_schema
from tests.pages.detectors import index, page
from tests.pages.metrics import metrics_page
from tests.pages.rulefile import Shipped, shipped
from tests.pages.settings import settings_page

DETECTOR_PAGES = "docs/detectors"


def generated() -> Mapping[str, str]:
    """Path below the project's root -> text, of every file that is made from the code."""
    rules = shipped(default_path().read_text())
    pages = {f"{DETECTOR_PAGES}/README.md": index(DETECTORS, rules)}
    for name, kind in DETECTORS.items():
        pages[f"{DETECTOR_PAGES}/{name}.md"] = page(name, kind, rules)
    pages["docs/metrics.md"] = metrics_page()
    pages["docs/settings.md"] = settings_page()
    pages["rules.schema.json"] = json.dumps(json_schema(), indent=2) + "\n"
    return pages


def stale(root: Path) -> list[str]:
    """Pages of detectors that are no more."""
    there = {str(p.relative_to(root)) for p in (root / DETECTOR_PAGES).glob("*.md")}
    return sorted(there - generated().keys())


__all__ = ["Shipped", "generated", "stale"]
