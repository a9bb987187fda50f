"""Tests of rules, in promtool's manner: runs written in a few characters, and their alerts."""

from __future__ import annotations

from monitor.ruletests.parse import Case, Tests, load_tests
from monitor.ruletests.run import Failure, run

__all__ = ["Case", "Failure", "Tests", "load_tests", "run"]
