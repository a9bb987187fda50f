"""Which rule looks at which series, worked out once for each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from monitor.detectors.base import (
    Bounded,
    BoundedFold,
    CurveDetector,
    FoldDetector,
    PulseDetector,
    WindowDetector,
)
from monitor.points import START_PREFIX, TAG_PREFIX
from monitor.rules.model import Rule, RuleSet


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with the points of one series; worked out once."""

    windows: tuple[Rule, ...]
    curves: tuple[Rule, ...]
    folds: tuple[Rule, ...]
    lookback: int
    context: tuple[str, ...]
    """Roles and tags that its detectors want joined."""
    own: frozenset[str]
    """Those among them in which it is itself: what is joined are then its own values."""
    serves: tuple[str, ...]
    """Roles and tags in which it is itself context for others."""
    stands_for: str | None = None
    """The role that it has only for as long as no other series of the run has it."""

    def stood_down(self) -> Plan:
        """Another series has that role."""
        serves = tuple(role for role in self.serves if role != self.stands_for)
        return replace(self, curves=(), serves=serves, stands_for=None)

    @property
    def judged(self) -> bool:
        """Whether a detector looks at it."""
        return bool(self.windows or self.curves or self.folds)

    @property
    def foreseeable(self) -> bool:
        """Whether those that look at each point can say which values are of no interest."""
        return all(isinstance(rule.detector, Bounded) for rule in self.windows) and all(
            isinstance(rule.detector, BoundedFold) for rule in self.folds
        )

    @property
    def idle(self) -> bool:
        """Nothing: most series are logged and never judged."""
        return not (self.judged or self.serves)


class Planner:
    """Works out plans under one rule set."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._windows = [r for r in rules.rules if isinstance(r.detector, WindowDetector)]
        self._folds = [r for r in rules.rules if isinstance(r.detector, FoldDetector)]
        self._curves = [r for r in rules.rules if isinstance(r.detector, CurveDetector)]
        self._pulses = [r for r in rules.rules if isinstance(r.detector, PulseDetector)]
        valued = self._windows + self._folds + self._curves
        self._wanted = frozenset(
            role.removeprefix(START_PREFIX) for rule in valued for role in _context(rule)
        )

    @property
    def listens(self) -> bool:
        """Whether any rule is about silence."""
        return bool(self._pulses)

    def pulses(self, run: str) -> list[Rule]:
        """The rules that listen to a run's silence."""
        return [rule for rule in self._pulses if _looks_at(rule, run)]

    def plan(self, run: str, tag: str, layered: bool) -> Plan:
        """What is to be done with a series of a run."""
        roles = frozenset[str]() if layered else self._rules.roles.of(run, tag)
        role = None if layered else self._rules.roles.stands_for(run, tag)
        taken = roles if role is None else roles | {role}
        windows = tuple(
            rule
            for rule in self._windows
            if rule.layered == layered and rule.match.series(run, tag, roles, layered)
        )

        def scalar(rules: list[Rule], roles: frozenset[str]) -> tuple[Rule, ...]:
            fitting = (rule for rule in rules if rule.match.series(run, tag, roles, False))
            return () if layered else tuple(fitting)

        curves, folds = scalar(self._curves, taken), scalar(self._folds, roles)
        context = {role for rule in windows + curves + folds for role in _context(rule)}
        names = frozenset[str]() if layered else taken | {TAG_PREFIX + tag}
        return Plan(
            windows=windows,
            curves=curves,
            folds=folds,
            lookback=max((_lookback(rule) for rule in windows), default=1),
            context=tuple(sorted(context)),
            own=names & context,
            serves=tuple(sorted(names & self._wanted)),
            stands_for=role,
        )


def _lookback(window_rule: Rule) -> int:
    return cast("WindowDetector", window_rule.detector).lookback


def _context(rule: Rule) -> tuple[str, ...]:
    """Of a rule whose detector is shown values."""
    return cast("WindowDetector | FoldDetector | CurveDetector", rule.detector).context


def _looks_at(rule: Rule, run: str) -> bool:
    patterns = rule.match.run
    return patterns is None or any(pattern.search(run) for pattern in patterns)
