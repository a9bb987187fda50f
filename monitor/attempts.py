"""One writer's present attempt at a series: what is kept of it, its rules moved over new points."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from monitor.alerts import Moment, Positions, State, any_bad
from monitor.detectors.base import (
    Bounded,
    BoundedFold,
    CurveDetector,
    FoldDetector,
    Memory,
    WindowDetector,
)
from monitor.episodes import Episodes, Track
from monitor.plans import Plan
from monitor.points import (
    ALL,
    NOTHING,
    Curve,
    Evidence,
    Floats,
    Layers,
    Points,
    Quiet,
    Range,
    Window,
    both,
)
from monitor.rules.model import Rule
from monitor.series import CurveBuilder, Ring, Stretch

Failures = dict[str, str]
"""Per alert: what last went wrong in its detector, if anything did.

A detector that fails is a mistake of ours: it must cost its own alerts only, whatever it was.
"""


@dataclass(slots=True)
class Folding:
    """A track whose detector folds, with what it has noted so far."""

    track: Track
    memory: Memory


@dataclass(slots=True)
class Attempt:
    """What is kept of one writer's present attempt at a series."""

    ring: Ring
    curve: CurveBuilder | None
    windows: list[Track]
    curves: list[Track]
    folds: list[Folding]
    foreseeable: bool
    """Its rules can say which values are of no interest."""
    last_step: int = 0
    last_clock: float = 0.0
    layers: Layers | None = None

    @property
    def tracks(self) -> list[Track]:
        return self.windows + self.curves + [folding.track for folding in self.folds]

    def advance(self, stretch: Stretch, episodes: Episodes, failures: Failures) -> None:
        """Takes new points and moves all tracks over them."""
        joined = self.ring.append(stretch)
        self.last_step = int(stretch.points.steps[-1])
        self.last_clock = float(stretch.points.clock[-1])
        windows: dict[int, Window] = {}
        for track in self.windows:
            try:
                lookback = cast("WindowDetector", track.rule.detector).lookback
                if lookback not in windows:
                    windows[lookback] = self.ring.window(joined, len(stretch), lookback)
                _sweep(episodes, track, windows[lookback], stretch)
            except Exception as error:  # noqa: BLE001 - see Failures
                note(failures, track.rule, error)
        for folding in self.folds:
            try:
                _fold(episodes, folding, self.ring.window(joined, len(stretch), 1), stretch)
            except Exception as error:  # noqa: BLE001 - see Failures
                note(failures, folding.track.rule, error)
        if self.curve is not None:
            before = self.ring.count - len(stretch)
            for i, curve in self.curve.append(stretch):
                moment = _moment(stretch.points, i, before + i)
                for track in self.curves:
                    try:
                        _judge(episodes, track, curve, moment)
                    except Exception as error:  # noqa: BLE001 - see Failures
                        note(failures, track.rule, error)

    def quiet(self, failures: Failures) -> Quiet:
        """How it may go on without any rule having something to say of it."""
        ranges: tuple[Range, ...] = (ALL,) if self.foreseeable else ()
        for track, memory in self._at_each_point():
            try:
                calm = track.life.state is State.INACTIVE
                ranges = both(ranges, _never_bad(track.rule, memory) if ranges and calm else ())
            except Exception as error:  # noqa: BLE001 - see Failures
                note(failures, track.rule, error)
                return NOTHING
        if not ranges:
            return NOTHING
        return Quiet(ranges, sys.maxsize if self.curve is None else self.curve.until_judgement)

    def _at_each_point(self) -> Iterator[tuple[Track, Memory | None]]:
        """The tracks that look at each point, and what they remember if they fold."""
        yield from ((track, None) for track in self.windows)
        yield from ((folding.track, folding.memory) for folding in self.folds)

    def drop_curve(self) -> None:
        """Its curve is not judged any more."""
        self.curve, self.curves = None, []

    def abandon(self, episodes: Episodes, at: Moment) -> None:
        """It is superseded: what fires ceases to."""
        for track in self.tracks:
            episodes.abandon(track, at)


def begin(plan: Plan, points: Points) -> Attempt:
    """A new attempt, whose first point is the first of ``points``."""
    tag = points.key.tag
    return Attempt(
        ring=Ring(plan.lookback),
        curve=CurveBuilder(points.key, int(points.steps[0])) if plan.curves else None,
        windows=[Track(rule, tag) for rule in plan.windows],
        curves=[Track(rule, tag) for rule in plan.curves],
        folds=[
            Folding(Track(rule, tag), cast("FoldDetector", rule.detector).begin())
            for rule in plan.folds
        ],
        foreseeable=plan.foreseeable,
        layers=points.layers,
    )


def _never_bad(rule: Rule, memory: Memory | None) -> tuple[Range, ...]:
    """Values of which a rule that can foresee says nothing."""
    if memory is None:
        return cast("Bounded", rule.detector).never_bad
    return cast("BoundedFold", rule.detector).never_bad_after(memory)


def note(failures: Failures, rule: Rule, error: Exception) -> None:
    """The detector of ``rule`` has failed; the others go on."""
    failures[rule.alert] = f"{rule.detector.name}: {type(error).__name__}: {error}"


def _sweep(episodes: Episodes, track: Track, window: Window, stretch: Stretch) -> None:
    """One window detector over all new points at once."""
    rule = track.rule
    # Not isinstance: asking a protocol's members costs as much as a detector's sweep.
    detector = cast("WindowDetector", rule.detector)
    if window.layers is not None and rule.match.chooses_layers:
        window = window.choose(rule.match.columns(window.layers))
    health = detector(window).health
    if track.life.state is State.INACTIVE and not any_bad(health):
        return
    before = len(window.steps) - window.new

    def explain(i: int) -> Evidence:
        seen = window.upto(before + i, detector.lookback)
        return _informed(detector.explain(seen), seen.context, int(seen.steps[0]))

    points = stretch.points
    positions = Positions(window.index + before, points.steps, points.clock)
    episodes.move(track, health, positions, explain)


def _fold(episodes: Episodes, folding: Folding, window: Window, stretch: Stretch) -> None:
    """One fold detector over all new points at once."""
    detector = cast("FoldDetector", folding.track.rule.detector)
    folded = detector.fold(folding.memory, window)
    folding.memory = folded.memory

    def explain(i: int) -> Evidence:
        evidence = detector.explain(window.upto(i, 1), folded.seen[:, i])
        return replace(evidence, saw_from=window.first_step)

    positions = Positions(window.index, stretch.points.steps, stretch.points.clock)
    episodes.move(folding.track, folded.health, positions, explain)


def _judge(episodes: Episodes, track: Track, curve: Curve, moment: Moment) -> None:
    """One curve detector on the curve so far."""
    detector = cast("CurveDetector", track.rule.detector)
    verdict = detector.judge(curve)
    if verdict.evidence is not None:
        evidence = _informed(verdict.evidence, curve.context, curve.first_step)
        verdict = replace(verdict, evidence=evidence)
    episodes.move_once(track, verdict, moment)


def _moment(points: Points, i: int, index: int) -> Moment:
    return Moment(index, int(points.steps[i]), float(points.clock[i]))


def _informed(evidence: Evidence, context: Mapping[str, Floats], first_step: int) -> Evidence:
    """Evidence with the joined values of that moment (the learning rate) as facts."""
    known = {
        role: f"{column[-1]:.4g}"
        for role, column in context.items()
        if len(column) and np.isfinite(column[-1])
    }
    return replace(evidence, facts={**known, **evidence.facts}, saw_from=first_step)
