"""What runs looked like, read again from their event files: for pages and pictures.

The daemon keeps no curves: the event files are the database.
"""

from __future__ import annotations

from monitor.history.buckets import Thinned
from monitor.history.run import RunHistory, UnknownRun

__all__ = ["RunHistory", "Thinned", "UnknownRun"]
