"""Why an alert fired: ``monitor check --explain``."""

from __future__ import annotations

from monitor.explain.history import Explained, UnknownName, explain
from monitor.explain.show import print_explained

__all__ = ["Explained", "UnknownName", "explain", "print_explained"]
