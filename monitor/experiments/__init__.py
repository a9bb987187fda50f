"""Experiments on a model, its loss and one batch before training: ``monitor.preflight``.

Needs torch and nothing else, and imports nothing of the rest of this project.
"""

from monitor.experiments.report import Check, Finding, PreflightFailed, Report
from monitor.experiments.run import CHECKS, preflight

__all__ = ["CHECKS", "Check", "Finding", "PreflightFailed", "Report", "preflight"]
