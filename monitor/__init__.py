"""Training Health Monitor: watches a training run and says what is wrong, why, and what to try.

Importing this package loads neither the daemon nor its dependencies, so a training
script can afford it; ``monitor.watch`` is loaded from :mod:`monitor.hook` on first use, and
``monitor.preflight`` from :mod:`monitor.experiments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.experiments import preflight as preflight
    from monitor.hook import watch as watch

__version__ = "0.1.0"
__all__ = ["__version__", "preflight", "watch"]


def __getattr__(name: str) -> Any:
    if name == "watch":
        from monitor.hook import watch

        return watch
    if name == "preflight":
        from monitor.experiments import preflight

        return preflight
    raise AttributeError(f"module 'monitor' has no attribute {name!r}")
