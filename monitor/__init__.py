"""Training Health Monitor: watches a training run and says what is wrong, why, and what to try.

Importing this package loads neither the daemon nor its dependencies, so a training
script can afford it; ``monitor.watch`` is loaded from :mod:`monitor.hook` on first use, and
``monitor.preflight`` from the package of that name, which can be called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.hook import watch as watch
    from monitor.preflight import preflight as preflight

__version__ = "0.1.0"
__all__ = ["__version__", "preflight", "watch"]


def __getattr__(name: str) -> Any:
    if name == "watch":
        from monitor.hook import watch

        return watch
    if name == "preflight":
        return importlib.import_module("monitor.preflight")
    raise AttributeError(f"module 'monitor' has no attribute {name!r}")
