"""From truth and alerts to outcomes, and from outcomes to numbers. Pure."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.notices import AlertDocument
from tests.zoo.kinds import SEVERITIES, Truth
from tests.zoo.script import Note

_LOUD = frozenset({"warning", "critical"})


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    kind: str
    seed: int
    truth: Truth
    note: Note
    found: str = ""
    """The detector that named the fault first; none: missed."""
    by_name: bool = False
    """The detector that the fault is filed under spoke, at whatever severity."""
    delay: int | None = None
    """Steps from onset to the first alert that is right."""
    wrong: tuple[str, ...] = ()
    """Detectors of loud alerts (warning, critical) that are neither right nor beside."""
    early: tuple[str, ...] = ()
    """Detectors that were right before anything was wrong; they count as wrong."""
    quiet: tuple[str, ...] = ()
    """Detectors of notes (info) that are neither right nor beside."""
    beside: tuple[str, ...] = ()
    unadvised: bool = False
    """Found, but the advice lacks what it had to say."""

    @property
    def share(self) -> float | None:
        """The delay in parts of the run."""
        if self.delay is None:
            return None
        return self.delay / max(1, self.note.last)

    @property
    def false(self) -> bool:
        """Whether anything loud was said that is not so."""
        return bool(self.wrong or self.early)


def judge(
    kind: str, seed: int, truth: Truth, note: Note, alerts: Sequence[AlertDocument]
) -> Outcome:
    """Holds what was said against what is true.

    An alert is early if it fired before a fault that was built in at a known step.
    """
    before = note.onset if note.known else -1
    early = [a for a in alerts if a["detector"] in truth.right and a["fired_step"] < before]
    right = [a for a in alerts if a["detector"] in truth.right and a["fired_step"] >= before]
    loud_enough = [a for a in right if _at_least(a["severity"], truth.severity)]
    other = [a for a in alerts if a["detector"] not in truth.right | truth.beside]
    first = min(loud_enough, key=lambda a: a["fired_step"], default=None)
    advised = any(re.search(truth.advice, a["advice"], re.IGNORECASE) for a in loud_enough)
    return Outcome(
        kind,
        seed,
        truth,
        note,
        found="" if first is None else first["detector"],
        by_name=any(a["detector"] == truth.fault for a in right),
        delay=None if first is None else max(0, first["fired_step"] - note.onset),
        wrong=_detectors(a for a in other if a["severity"] in _LOUD),
        early=_detectors(a for a in early if a["severity"] in _LOUD),
        quiet=_detectors(a for a in other if a["severity"] not in _LOUD),
        beside=_detectors(a for a in alerts if a["detector"] in truth.beside),
        unadvised=first is not None and not advised,
    )


def _at_least(severity: str, least: str) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def _detectors(alerts: Iterable[AlertDocument]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(alert["detector"] for alert in alerts))


@dataclass(frozen=True)
class Line:
    """One detector over all runs."""

    detector: str
    runs: int
    """Faulty runs filed under it."""
    found: int
    by_name: int
    delay: float | None
    """Median, in steps."""
    share: float | None
    """Median, in parts of the run."""
    within: int
    """Found within 50 steps or 5 % of the run."""
    false: int
    """Runs, healthy ones and those with another fault, in which it spoke loudly and was wrong."""


@dataclass(frozen=True)
class Total:
    """Everything over all runs."""

    healthy: int
    alarmed: int
    """Healthy runs with any loud alert."""
    noted: int
    """Healthy runs with a quiet one."""
    faulty: int
    found: int
    misnamed: int
    """Faulty runs with a loud alert that is wrong or early."""
    within: int
    delay: float | None
    share: float | None


def lines(outcomes: Sequence[Outcome]) -> list[Line]:
    """Detector by detector: those with faults of their own, and those that were wrong."""
    false = Counter(name for o in outcomes for name in {*o.wrong, *o.early})
    faults = Counter(o.truth.fault for o in outcomes if o.truth.fault)
    return [
        _line(name, [o for o in outcomes if o.truth.fault == name], false)
        for name in sorted(faults | false)
    ]


def _line(name: str, own: Sequence[Outcome], false: Mapping[str, int]) -> Line:
    return Line(
        name,
        len(own),
        sum(bool(o.found) for o in own),
        sum(o.by_name for o in own),
        _median(o.delay for o in own),
        _median(o.share for o in own),
        sum(map(_in_time, own)),
        false.get(name, 0),
    )


def total(outcomes: Sequence[Outcome]) -> Total:
    """The numbers that the project promises."""
    well = [o for o in outcomes if not o.truth.fault]
    sick = [o for o in outcomes if o.truth.fault]
    return Total(
        len(well),
        sum(o.false for o in well),
        sum(bool(o.quiet) for o in well),
        len(sick),
        sum(bool(o.found) for o in sick),
        sum(o.false for o in sick),
        sum(map(_in_time, sick)),
        _median(o.delay for o in sick),
        _median(o.share for o in sick),
    )


def _in_time(outcome: Outcome) -> bool:
    return outcome.delay is not None and outcome.delay <= max(50, 0.05 * outcome.note.last)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
