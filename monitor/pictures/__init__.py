"""Pictures of a run: what Slack shows, what the page links to, what ``monitor plot`` writes.

matplotlib is wanted for them, and only while one is drawn: an extra, ``plot``.
"""

from __future__ import annotations

from importlib.util import find_spec

KINDS = ("png", "svg")

MISSING = "pictures need matplotlib: pip install 'training-health-monitor[plot]'"


def available() -> bool:
    """Whether matplotlib is installed; it is not imported."""
    return find_spec("matplotlib") is not None


__all__ = ["KINDS", "MISSING", "available"]
