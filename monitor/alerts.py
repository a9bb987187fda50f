"""The life of an alert, as pure functions of verdicts.

A *track* follows one rule on one series of one attempt: :func:`advance` moves its
:class:`Life` through inactive, pending and firing. What fires becomes an :class:`Episode`;
:func:`visible` turns the episodes of a run into the alerts that people see: one per rule and
run, consequences left out. Both depend on event time only, so that the order in which files
were read does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from monitor.points import LAYER_PREFIX, Evidence, Floats, Health, Ints
from monitor.rules.model import Inhibition, Rule, Span, Unit

SUBJECTS_NAMED = 6
"""Tags or layers that an alert names; the rest is counted."""


class State(Enum):
    """As Prometheus has it."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in a series something happened."""

    index: int
    step: int
    clock: float
    """Seconds since the epoch; never goes back."""


@dataclass(frozen=True, slots=True)
class Life:
    """Where a track stands: ``since`` when pending or firing, ``bad_until`` when firing."""

    state: State = State.INACTIVE
    since: Moment | None = None
    bad_until: Moment | None = None


BORN = Life()


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the verdicts of one sweep stand; all arrays are [T]."""

    index: int
    """Position in the attempt of the first verdict."""
    steps: Ints
    clock: Floats

    def moment(self, i: int) -> Moment:
        return Moment(self.index + i, int(self.steps[i]), float(self.clock[i]))

    def since(self, origin: Moment, unit: Unit) -> Floats:
        """How far each verdict is from ``origin``, in steps, points or seconds: [T]."""
        if unit is Unit.STEPS:
            return (self.steps - origin.step).astype(np.float64)
        if unit is Unit.POINTS:
            return np.arange(len(self.steps), dtype=np.float64) + (self.index - origin.index)
        return self.clock - origin.clock


# As plain integers: numpy takes its time to find out what a member of an enumeration is.
_BAD, _UNKNOWN = int(Health.BAD), int(Health.UNKNOWN)
_BAD_BYTE = bytes([_BAD])


def any_bad(health: NDArray[np.int8]) -> bool:
    """Whether one of the verdicts [T] is bad; as fast as can be, since hardly ever one is."""
    return _BAD_BYTE in health.tobytes()


@dataclass(frozen=True, slots=True)
class Transition:
    """A track began or ceased to fire, at verdict ``i`` of the sweep."""

    fired: bool
    i: int
    moment: Moment
    since: Moment


def advance(
    life: Life, health: NDArray[np.int8], positions: Positions, hold: Span, keep: Span
) -> tuple[Life, tuple[Transition, ...]]:
    """Moves one track over the verdicts [T] of one sweep.

    Bad verdicts make it pending and, once they have held for ``hold``, firing; good ones end a
    pending state at once and a firing one after ``keep`` without a bad verdict. Unknown does
    neither. Loops over changes of verdict, not over points.
    """
    if life.state is State.INACTIVE and not any_bad(health):
        return life, ()
    known = np.flatnonzero(health != _UNKNOWN)
    if not len(known):
        return life, ()
    found: list[Transition] = []
    bad = health[known] == _BAD
    edges = np.flatnonzero(np.diff(bad)) + 1
    for begin, end in zip([0, *edges], [*edges, len(known)], strict=True):
        stretch = known[begin:end]
        if bad[begin]:
            life = _worsen(life, stretch, positions, hold, found)
        else:
            life = _mend(life, stretch, positions, keep, found)
    return life, tuple(found)


def _worsen(
    life: Life,
    at: NDArray[np.intp],
    positions: Positions,
    hold: Span,
    found: list[Transition],
) -> Life:
    since = life.since or positions.moment(int(at[0]))
    last = positions.moment(int(at[-1]))
    if life.state is State.FIRING:
        return Life(State.FIRING, since, last)
    held = np.flatnonzero(positions.since(since, hold.unit)[at] >= hold.amount)
    if not len(held):
        return Life(State.PENDING, since)
    i = int(at[held[0]])
    found.append(Transition(True, i, positions.moment(i), since))
    return Life(State.FIRING, since, last)


def _mend(
    life: Life,
    at: NDArray[np.intp],
    positions: Positions,
    keep: Span,
    found: list[Transition],
) -> Life:
    if life.state is not State.FIRING:
        return BORN
    assert life.bad_until is not None
    assert life.since is not None
    over = np.flatnonzero(positions.since(life.bad_until, keep.unit)[at] >= keep.amount)
    if not len(over):
        return life
    i = int(at[over[0]])
    found.append(Transition(False, i, positions.moment(i), life.since))
    return BORN


@dataclass(frozen=True, slots=True)
class Episode:
    """One stay of one track in the firing state."""

    rule: Rule
    run: str
    tag: str
    since: Moment
    fired: Moment
    evidence: Evidence
    resolved: Moment | None = None

    @property
    def onset_step(self) -> int:
        """The step at which the trouble began, as far as the detector can tell."""
        onset = self.evidence.onset_step
        return self.since.step if onset is None else onset


@dataclass(frozen=True, slots=True)
class Alert:
    """What people see: one rule on one run, from firing to resolution."""

    rule: Rule
    run: str
    subject: str
    onset_step: int
    fired: Moment
    resolved: Moment | None
    evidence: Evidence
    tags: tuple[str, ...] = ()
    """Of all series that it is about, in firing order."""

    @property
    def active(self) -> bool:
        return self.resolved is None


def visible(episodes: Sequence[Episode], inhibitions: Sequence[Inhibition]) -> tuple[Alert, ...]:
    """The alerts of one run, in firing order.

    Episodes of one rule that overlap are one alert that names all subjects. An alert is hidden
    while a source alert of an inhibition is there: from its start if the source was there by
    then, else it ends where the source begins.
    """
    alerts = [alert for group in _by_rule(episodes) for alert in _merge(group)]
    shown = [
        piece
        for alert in alerts
        for piece in _uncovered(alert, [s for s in alerts if _inhibits(s, alert, inhibitions)])
    ]
    return tuple(sorted(shown, key=lambda a: (a.fired.clock, a.fired.step, a.rule.alert)))


def _by_rule(episodes: Iterable[Episode]) -> Iterable[list[Episode]]:
    groups: dict[str, list[Episode]] = {}
    for episode in episodes:
        groups.setdefault(episode.rule.alert, []).append(episode)
    return groups.values()


def _end(resolved: Moment | None) -> float:
    return math.inf if resolved is None else resolved.clock


def _merge(episodes: list[Episode]) -> Iterable[Alert]:
    group: list[Episode] = []
    for episode in sorted(episodes, key=lambda e: (e.fired.clock, e.fired.step, e.tag)):
        if group and episode.fired.clock > max(_end(e.resolved) for e in group):
            yield _alert(group)
            group = []
        group.append(episode)
    if group:
        yield _alert(group)


def _alert(group: list[Episode]) -> Alert:
    first = group[0]
    open_ended = any(e.resolved is None for e in group)
    last = max((e.resolved for e in group if e.resolved), key=lambda m: m.clock, default=None)
    return Alert(
        rule=first.rule,
        run=first.run,
        subject=_subject(group),
        onset_step=first.onset_step,
        fired=first.fired,
        resolved=None if open_ended else last,
        evidence=first.evidence,
        tags=tuple(dict.fromkeys(episode.tag for episode in group)),
    )


def _subject(group: list[Episode]) -> str:
    names: dict[str, None] = {}
    for episode in group:
        layers = episode.evidence.layers if episode.tag.startswith(LAYER_PREFIX) else ()
        for name in layers or (episode.tag,):
            names[name] = None
    shown = list(names)[:SUBJECTS_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _inhibits(source: Alert, target: Alert, inhibitions: Sequence[Inhibition]) -> bool:
    if source.rule.alert == target.rule.alert:
        return False
    mine, theirs = labels(source.rule), labels(target.rule)
    return any(
        _has(mine, inhibition.source)
        and _has(theirs, inhibition.target)
        and all(mine.get(name) == theirs.get(name) for name in inhibition.equal if name != "run")
        for inhibition in inhibitions
    )


def labels(rule: Rule) -> Mapping[str, str]:
    """All labels of a rule's alerts but the run."""
    severity = rule.severity.label
    return {
        **rule.labels,
        "alert": rule.alert,
        "detector": rule.detector.name,
        "severity": severity,
    }


def _has(found: Mapping[str, str], wanted: Mapping[str, tuple[str, ...]]) -> bool:
    return all(found.get(name) in values for name, values in wanted.items())


def _uncovered(alert: Alert, sources: Sequence[Alert]) -> Iterable[Alert]:
    """The parts of ``alert``'s life that no source covers."""
    left: Alert | None = alert
    for source in sorted(sources, key=lambda s: s.fired.clock):
        if left is None or _end(source.resolved) <= left.fired.clock:
            continue
        if _end(left.resolved) <= source.fired.clock:
            continue
        first = source.fired.step <= left.fired.step or source.fired.clock <= left.fired.clock
        if not first:
            yield replace(left, resolved=source.fired)
        if source.resolved is None or _end(left.resolved) <= _end(source.resolved):
            left = None
        else:
            left = replace(left, fired=source.resolved)
    if left is not None:
        yield left
