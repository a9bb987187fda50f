"""Points in, alerts out: which rule looks at which series, and what came of it.

The engine has no clock and no files. Whatever it says of a run follows from the batches it was
fed and their order; only :meth:`Engine.tick` is handed the daemon's time, for silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import cast

import numpy as np

from monitor.alerts import Alert, Moment, Positions, State, any_bad
from monitor.detectors.base import (
    CurveDetector,
    FoldDetector,
    Memory,
    PulseDetector,
    WindowDetector,
)
from monitor.episodes import Episodes, Track
from monitor.heartbeat import Heartbeat
from monitor.points import (
    LAYER_PREFIX,
    TAG_PREFIX,
    Batch,
    Column,
    Curve,
    Evidence,
    Floats,
    Layers,
    Points,
    Window,
)
from monitor.ranks import Ranks
from monitor.rules.model import Rule, RuleSet
from monitor.series import (
    ContextColumn,
    CurveBuilder,
    Ring,
    Stretch,
    greatest,
    restarts,
    slice_points,
)
from monitor.views import RunView

WRITERS_PER_SERIES = 16
LIVENESS = "(events)"
"""The subject of alerts about silence, which belong to no tag."""


@dataclass(slots=True)
class _Folding:
    """A track whose detector folds, with what it has noted so far."""

    track: Track
    memory: Memory


@dataclass(slots=True)
class _Attempt:
    """What is kept of one writer's present attempt at a series."""

    ring: Ring
    curve: CurveBuilder | None
    windows: list[Track]
    curves: list[Track]
    folds: list[_Folding]
    last_step: int = 0
    last_clock: float = 0.0
    layers: Layers | None = None

    @property
    def tracks(self) -> list[Track]:
        return self.windows + self.curves + [folding.track for folding in self.folds]


@dataclass(frozen=True, slots=True)
class _Plan:
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

    @property
    def judged(self) -> bool:
        """Whether a detector looks at it."""
        return bool(self.windows or self.curves or self.folds)

    @property
    def idle(self) -> bool:
        """Nothing: most series are logged and never judged."""
        return not (self.judged or self.serves)


@dataclass(slots=True)
class _Run:
    """What is kept of one run."""

    name: str
    episodes: Episodes
    heartbeat: Heartbeat
    pulses: list[Track]
    plans: dict[str, _Plan] = field(default_factory=dict)
    attempts: dict[str, dict[str, _Attempt]] = field(default_factory=dict)
    context: dict[str, dict[str, ContextColumn]] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    layer_stats: dict[str, tuple[Layers, Floats]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """Follows any number of runs under one rule set."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.failures: dict[str, str] = {}
        """Per alert: what last went wrong in its detector, if anything did."""
        self._runs: dict[str, _Run] = {}
        self._ranks = Ranks()
        self._window_rules = [r for r in rules.rules if isinstance(r.detector, WindowDetector)]
        self._fold_rules = [r for r in rules.rules if isinstance(r.detector, FoldDetector)]
        self._curve_rules = [r for r in rules.rules if isinstance(r.detector, CurveDetector)]
        self._pulse_rules = [r for r in rules.rules if isinstance(r.detector, PulseDetector)]
        valued = self._window_rules + self._fold_rules + self._curve_rules
        wanted = (_context(rule) for rule in valued)
        self._context_roles = frozenset(role for roles in wanted for role in roles)

    # --- feeding ------------------------------------------------------------------------

    def feed(self, batch: Batch) -> None:
        """Takes what one read of one file gave."""
        batch = self._ranks.join(batch)
        run = self._runs.get(batch.run)
        if run is None:
            run = self._runs[batch.run] = self._new(batch.run)
        if batch.facts:
            run.facts = MappingProxyType({**run.facts, **batch.facts})
        judged: list[Points] = []
        for column in batch.columns:
            plan = self._remember(run, column)
            if not plan.idle:
                judged.append(column.points())
        # Context first, all of it: joining is by time, so what was written later is not seen.
        for points in judged:
            for role in run.plans[points.key.tag].serves:
                columns = run.context.setdefault(role, {})
                columns.setdefault(points.key.tag, ContextColumn()).append(points)
        # Files hold any number there is; what comes of it is the verdict's matter, not a warning's.
        with np.errstate(all="ignore"):
            for points in judged:
                self._evaluate(run, points)
        for columns in run.context.values():
            for past in columns.values():
                past.trim()
        run.heartbeat.hear(batch)

    def _new(self, name: str) -> _Run:
        rules = [rule for rule in self._pulse_rules if _looks_at(rule, name)]
        pulses = [Track(rule, LIVENESS) for rule in rules]
        return _Run(name, Episodes(name), Heartbeat(name), pulses)

    def _remember(self, run: _Run, column: Column) -> _Plan:
        """Takes note of the last value; what else is to be done with the series."""
        tag, last = column.key.tag, column.last
        if isinstance(last, np.ndarray):
            layers = column.points().layers
            assert layers is not None, "values per layer come with their layers"
            run.layer_stats[tag.removeprefix(LAYER_PREFIX)] = (layers, last.copy())
        else:
            run.scalars[tag] = float(last)
        plan = run.plans.get(tag)
        if plan is None:
            layered = isinstance(last, np.ndarray)
            plan = run.plans[tag] = self._work_out(run.name, tag, layered)
        return plan

    def _work_out(self, run: str, tag: str, layered: bool) -> _Plan:
        roles = frozenset[str]() if layered else self.rules.roles.of(run, tag)
        windows = tuple(
            rule
            for rule in self._window_rules
            if rule.layered == layered and rule.match.series(run, tag, roles, layered)
        )

        def scalar(rules: list[Rule]) -> tuple[Rule, ...]:
            fitting = (rule for rule in rules if rule.match.series(run, tag, roles, False))
            return () if layered else tuple(fitting)

        curves, folds = scalar(self._curve_rules), scalar(self._fold_rules)
        context = {role for rule in windows + curves + folds for role in _context(rule)}
        names = frozenset[str]() if layered else roles | {TAG_PREFIX + tag}
        return _Plan(
            windows=windows,
            curves=curves,
            folds=folds,
            lookback=max((_lookback(rule) for rule in windows), default=1),
            context=tuple(sorted(context)),
            own=names & context,
            serves=tuple(sorted(names & self._context_roles)),
        )

    # --- evaluating ---------------------------------------------------------------------

    def _evaluate(self, run: _Run, points: Points) -> None:
        plan = run.plans[points.key.tag]
        if not plan.judged:
            return
        stretch = Stretch(points, self._join(run, plan, points))
        attempt = self._attempt(run, plan, points)
        begin = 0
        for cut in restarts(attempt.ring.steps, points.steps):
            if cut > begin:
                self._advance(run, attempt, stretch.cut(begin, int(cut)))
            attempt = self._restart(run, plan, slice_points(points, int(cut), int(cut) + 1))
            begin = int(cut)
        self._advance(run, attempt, stretch.cut(begin, len(stretch)))

    def _join(self, run: _Run, plan: _Plan, points: Points) -> Mapping[str, Floats]:
        # A series need not be looked up in its own past: it knows itself as it is now.
        others = {
            role: greatest(
                [column.as_of(points.clock) for column in run.context.get(role, {}).values()],
                len(points.steps),
            )
            for role in plan.context
            if role not in plan.own
        }
        return {**others, **dict.fromkeys(plan.own, points.values)}

    def _attempt(self, run: _Run, plan: _Plan, points: Points) -> _Attempt:
        """The attempt that these points belong to; a new one where a writer is new."""
        writers = run.attempts.setdefault(points.key.tag, {})
        attempt = writers.get(points.writer)
        if attempt is not None and (points.layers is None or _same(attempt.layers, points.layers)):
            return attempt
        if attempt is None:
            before = _continued(writers, points)
            if before is not None:
                writers[points.writer] = writers.pop(before)
                return writers[points.writer]
        return self._restart(run, plan, points)

    def _restart(self, run: _Run, plan: _Plan, points: Points) -> _Attempt:
        """Begins a new attempt at the first of ``points``; what it supersedes ceases to fire."""
        writers = run.attempts.setdefault(points.key.tag, {})
        begin = Moment(0, int(points.steps[0]), float(points.clock[0]))
        for writer, attempt in list(writers.items()):
            if writer == points.writer or attempt.last_clock < begin.clock:
                _abandon(run, attempt, begin)
                del writers[writer]
        while len(writers) >= WRITERS_PER_SERIES:
            oldest = min(writers, key=lambda name: writers[name].last_clock)
            _abandon(run, writers.pop(oldest), begin)
        attempt = _Attempt(
            ring=Ring(plan.lookback),
            curve=CurveBuilder(points.key, begin.step) if plan.curves else None,
            windows=[Track(rule, points.key.tag) for rule in plan.windows],
            curves=[Track(rule, points.key.tag) for rule in plan.curves],
            folds=[
                _Folding(Track(rule, points.key.tag), cast("FoldDetector", rule.detector).begin())
                for rule in plan.folds
            ],
            layers=points.layers,
        )
        writers[points.writer] = attempt
        return attempt

    def _advance(self, run: _Run, attempt: _Attempt, stretch: Stretch) -> None:
        joined = attempt.ring.append(stretch)
        attempt.last_step = int(stretch.points.steps[-1])
        attempt.last_clock = float(stretch.points.clock[-1])
        for track in attempt.windows:
            with self._guarded(track.rule):
                _sweep(run, track, attempt.ring, joined, stretch)
        for folding in attempt.folds:
            with self._guarded(folding.track.rule):
                _fold(run, folding, attempt.ring.window(joined, len(stretch), 1), stretch)
        if attempt.curve is not None:
            before = attempt.ring.count - len(stretch)
            for i, curve in attempt.curve.append(stretch):
                moment = _moment(stretch.points, i, before + i)
                for track in attempt.curves:
                    with self._guarded(track.rule):
                        _judge(run, track, curve, moment)

    @contextmanager
    def _guarded(self, rule: Rule) -> Iterator[None]:
        """A detector that fails is a mistake of ours: it must cost its own alerts only."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it was, the others go on
            self.failures[rule.alert] = f"{rule.detector.name}: {type(error).__name__}: {error}"

    # --- silence ------------------------------------------------------------------------

    def tick(self, now: float) -> frozenset[str]:
        """Lets the liveness detectors listen at ``now`` (seconds since the epoch).

        Returns the runs whose alerts may have changed.
        """
        if not self._pulse_rules:
            return frozenset()
        return frozenset(name for name, run in self._runs.items() if self._listen(run, now))

    def _listen(self, run: _Run, now: float) -> bool:
        pulse = run.heartbeat.pulse()
        moment = Moment(pulse.events, pulse.last_step, now)
        changed = False
        for track in run.pulses:
            detector = cast("PulseDetector", track.rule.detector)
            before = track.life.state
            with self._guarded(track.rule):
                run.episodes.move_once(track, detector.listen(pulse, now), moment)
            changed = changed or track.life.state is not before
        return changed

    # --- looking ------------------------------------------------------------------------

    @property
    def runs(self) -> Iterable[str]:
        """Names of all runs, in order of first sight."""
        return self._runs.keys()

    def view(self, name: str) -> RunView:
        """A run as it stands now; KeyError if it was never seen."""
        run = self._runs[name]
        return RunView(
            run=name,
            last_step=run.heartbeat.last_step,
            last_event=run.heartbeat.last_clock,
            ended=run.heartbeat.ended,
            alerts=tuple(_about(run, run.episodes.alerts(self.rules.inhibitions))),
            forgotten=run.episodes.forgotten,
            scalars=MappingProxyType(dict(run.scalars)),
            layers=MappingProxyType(dict(run.layer_stats)),
            facts=run.facts,
        )

    def alerts(self) -> Iterator[Alert]:
        """The alerts of all runs, in firing order."""
        found = [alert for name in self._runs for alert in self.view(name).alerts]
        yield from sorted(found, key=lambda a: (a.fired.clock, a.run, a.fired.step))

    def adopt(self, other: Engine) -> None:
        """Takes over the runs of an engine under the same rules, which is not used any more."""
        self._runs.update(other._runs)
        self._ranks.adopt(other._ranks)
        self.failures.update(other.failures)

    def forget(self, name: str) -> None:
        """Drops a run; nothing happens if it was never seen."""
        self._runs.pop(name, None)
        self._ranks.forget(name)


def _sweep(run: _Run, track: Track, ring: Ring, joined: Stretch, stretch: Stretch) -> None:
    """One window detector over all new points at once."""
    rule = track.rule
    # Not isinstance: asking a protocol's members costs as much as a detector's sweep.
    detector = cast("WindowDetector", rule.detector)
    window = ring.window(joined, len(stretch), detector.lookback)
    if window.layers is not None and rule.match.chooses_layers:
        window = window.choose(rule.match.columns(window.layers))
    health = detector(window).health
    if track.life.state is State.INACTIVE and not any_bad(health):
        return
    before = len(window.steps) - window.new

    def explain(i: int) -> Evidence:
        seen = window.upto(before + i, detector.lookback)
        return _informed(detector.explain(seen), seen.context)

    points = stretch.points
    positions = Positions(ring.count - len(stretch), points.steps, points.clock)
    run.episodes.move(track, health, positions, explain)


def _fold(run: _Run, folding: _Folding, window: Window, stretch: Stretch) -> None:
    """One fold detector over all new points at once."""
    detector = cast("FoldDetector", folding.track.rule.detector)
    folded = detector.fold(folding.memory, window)
    folding.memory = folded.memory

    def explain(i: int) -> Evidence:
        return detector.explain(window.upto(i, 1), folded.seen[:, i])

    positions = Positions(window.index, stretch.points.steps, stretch.points.clock)
    run.episodes.move(folding.track, folded.health, positions, explain)


def _judge(run: _Run, track: Track, curve: Curve, moment: Moment) -> None:
    """One curve detector on the curve so far."""
    detector = cast("CurveDetector", track.rule.detector)
    verdict = detector.judge(curve)
    if verdict.evidence is not None:
        verdict = replace(verdict, evidence=_informed(verdict.evidence, curve.context))
    run.episodes.move_once(track, verdict, moment)


def _abandon(run: _Run, attempt: _Attempt, at: Moment) -> None:
    for track in attempt.tracks:
        run.episodes.abandon(track, at)


def _moment(points: Points, i: int, index: int) -> Moment:
    return Moment(index, int(points.steps[i]), float(points.clock[i]))


def _informed(evidence: Evidence, context: Mapping[str, Floats]) -> Evidence:
    """Evidence with the joined values of that moment (the learning rate) as facts."""
    known = {
        role: f"{column[-1]:.4g}"
        for role, column in context.items()
        if len(column) and np.isfinite(column[-1])
    }
    return replace(evidence, facts={**known, **evidence.facts}) if known else evidence


def _about(run: _Run, alerts: Iterable[Alert]) -> Iterator[Alert]:
    """The alerts with what is known of the run as a whole: which optimizer it is trained with.

    Joined when looked at, since the file that says it need not be the first that is read.
    """
    known = {name: run.facts[name] for name in ("optimizer",) if name in run.facts}
    for alert in alerts:
        evidence = alert.evidence
        facts = {**known, **evidence.facts}
        yield replace(alert, evidence=replace(evidence, facts=facts)) if known else alert


def _lookback(window_rule: Rule) -> int:
    return cast("WindowDetector", window_rule.detector).lookback


def _context(rule: Rule) -> tuple[str, ...]:
    """Of a rule whose detector is shown values."""
    return cast("WindowDetector | FoldDetector | CurveDetector", rule.detector).context


def _looks_at(rule: Rule, run: str) -> bool:
    patterns = rule.match.run
    return patterns is None or any(pattern.search(run) for pattern in patterns)


def _same(a: Layers | None, b: Layers) -> bool:
    return a is b or a == b


def _continued(writers: Mapping[str, _Attempt], points: Points) -> str | None:
    """The writer whose attempt a new writer's first point goes on with, if there is one."""
    step, clock = int(points.steps[0]), float(points.clock[0])
    fitting = [
        name
        for name, attempt in writers.items()
        if attempt.last_step < step
        and attempt.last_clock <= clock
        and (points.layers is None or _same(attempt.layers, points.layers))
    ]
    return max(fitting, key=lambda name: writers[name].last_clock, default=None)
