"""What the page may see of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.page.changes import Changes
from monitor.rules.model import Roles
from monitor.sources.scan import Root
from monitor.views import RunView


@dataclass(frozen=True, slots=True)
class Watched:
    """The runs as they stand; its functions are called from other threads than the loop's."""

    views: Callable[[], Mapping[str, RunView]]
    """A picture of its own: the mapping does not change any more."""
    ready: Callable[[], bool]
    roles: Callable[[], Roles]
    logdirs: Sequence[Root] = ()
    rules: Path | None = None
    """The rule file, if not the one that comes with the monitor."""
    changes: Changes = field(default_factory=Changes)
