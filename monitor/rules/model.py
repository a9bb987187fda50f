"""What a rule file means, once it has been read: frozen values and pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from monitor.detectors.base import Detector
from monitor.points import LAYER_PREFIX, Layers


class Severity(IntEnum):
    """How bad an alert is; ordered."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2

    @property
    def label(self) -> str:
        """As written in rule files, metrics and JSON."""
        return self.name.lower()


class Unit(Enum):
    """What a span counts."""

    STEPS = "steps"
    POINTS = "points"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Span:
    """How long something must hold: ``200 steps``, ``30 points`` or ``5m``."""

    amount: float
    unit: Unit


@dataclass(frozen=True, slots=True)
class Roles:
    """Names for series, by tag and run pattern; see :mod:`monitor.rules.roles`."""

    extra: Mapping[str, tuple[re.Pattern[str], ...]] = field(default_factory=dict)
    """Role -> patterns of the rule file's ``roles``; they replace the built-in ones."""

    def of(self, run: str, tag: str) -> frozenset[str]:
        """The roles of a scalar series; a pure function of its two names."""
        from monitor.rules.roles import builtin_roles

        mine = {
            role for role, patterns in self.extra.items() if any(p.search(tag) for p in patterns)
        }
        return frozenset(mine | (builtin_roles(run, tag) - self.extra.keys()))

    def stands_for(self, run: str, tag: str) -> str | None:
        """The role that a scalar series takes in a run in which no series has it, if any."""
        from monitor.rules.roles import stands_for

        role = stands_for(run, tag)
        return None if role in self.extra else role

    def having(self, run: str, tags: Iterable[str], role: str) -> list[str]:
        """Of all scalar ``tags`` of a run those that have the role, or else stand for it."""
        tags = list(tags)
        found = [tag for tag in tags if role in self.of(run, tag)]
        return found or [tag for tag in tags if self.stands_for(run, tag) == role]


@dataclass(frozen=True, slots=True)
class Match:
    """Which series a rule looks at; a field that is None does not restrict.

    Patterns are compiled whole-string, case-insensitive globs or /regexes/ (search).
    """

    role: tuple[re.Pattern[str], ...] | None = None
    tag: tuple[re.Pattern[str], ...] | None = None
    run: tuple[re.Pattern[str], ...] | None = None
    stat: tuple[re.Pattern[str], ...] | None = None
    layer: tuple[re.Pattern[str], ...] | None = None
    layer_kind: tuple[re.Pattern[str], ...] | None = None

    def series(self, run: str, tag: str, roles: frozenset[str], layered: bool) -> bool:
        """Whether a series is looked at; ``layered`` as the rule's detector wants it."""
        if not _any(self.run, run) or tag.startswith(LAYER_PREFIX) != layered:
            return False
        if layered:
            return _any(self.stat, tag.removeprefix(LAYER_PREFIX)) and _any(self.tag, tag)
        if self.role is not None and not any(_any(self.role, role) for role in roles):
            return False
        return _any(self.tag, tag)

    @property
    def layered(self) -> bool:
        """Whether layer series are meant, where the detector takes both."""
        return self.stat is not None or self.chooses_layers

    @property
    def chooses_layers(self) -> bool:
        """Whether only some layers of a layer series are looked at."""
        return self.layer is not None or self.layer_kind is not None

    def columns(self, layers: Layers) -> NDArray[np.bool_]:
        """Which of the N layers are looked at: [N]."""
        return np.array(
            [
                _any(self.layer, name) and _any(self.layer_kind, kind)
                for name, kind in zip(layers.names, layers.kinds, strict=True)
            ],
            dtype=np.bool_,
        )


def _any(patterns: tuple[re.Pattern[str], ...] | None, text: str) -> bool:
    return patterns is None or any(p.search(text) for p in patterns)


@dataclass(frozen=True, slots=True)
class Rule:
    """Ties series to a detector, and says what an alert is called and what it tells people."""

    alert: str
    group: str
    detector: Detector
    match: Match
    hold: Span
    """``for:`` in YAML: how long verdicts must stay bad before the alert fires."""
    keep_firing_for: Span
    severity: Severity
    labels: Mapping[str, str]
    """Identity; ``severity`` is among them."""
    summary: str
    """Template; see :func:`monitor.rules.templates.render`."""
    advice: str
    runbook_url: str = ""

    @property
    def layered(self) -> bool:
        """Whether it looks at layer series; of a rule whose detector is shown windows."""
        layered: bool | None = getattr(self.detector, "layered", False)
        return self.match.layered if layered is None else layered


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While a source alert is there, target alerts with equal labels are not shown.

    ``source`` and ``target``: label -> values (any of them), with ``alert`` and ``detector``
    among the labels.
    """

    source: Mapping[str, tuple[str, ...]]
    target: Mapping[str, tuple[str, ...]]
    equal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A whole rule file."""

    rules: tuple[Rule, ...]
    inhibitions: tuple[Inhibition, ...]
    roles: Roles


@dataclass(frozen=True, slots=True)
class RuleError:
    """One thing wrong in a rule file; ``str()`` gives ``file:line:column: message``."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RulesInvalid(ValueError):  # noqa: N818 - reads as what it says
    """A rule file with everything that is wrong in it."""

    def __init__(self, errors: tuple[RuleError, ...]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors
