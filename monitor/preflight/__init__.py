"""Experiments on a model, its loss and one batch before training: :func:`preflight`.

Needs torch and nothing else, and imports nothing of the rest of this project. The package can
be called: ``monitor.preflight(...)`` is :func:`preflight`, whoever imported a module of the
package before, which puts the package under that name.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from monitor.preflight.report import Check, Finding, PreflightFailed, Report
from monitor.preflight.run import CHECKS, preflight

__all__ = ["CHECKS", "Check", "Finding", "PreflightFailed", "Report", "preflight"]


class _Callable(types.ModuleType):
    __doc__ = preflight.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Report:
        return preflight(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
