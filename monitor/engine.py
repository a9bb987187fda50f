"""Points in, alerts out: which rule looks at which series, and what came of it.

The engine has no clock and no files. Whatever it says of a run follows from the batches it was
fed and their order; only :meth:`Engine.tick` is handed the daemon's time, for silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import cast

import numpy as np

from monitor.alerts import Alert, Moment
from monitor.attempts import Attempt, Failures, begin, note
from monitor.context import ContextColumn, joined
from monitor.detectors.base import PulseDetector
from monitor.episodes import Episodes, Track
from monitor.heartbeat import Heartbeat
from monitor.plans import Plan, Planner
from monitor.points import (
    LAYER_PREFIX,
    NOTHING,
    WHATEVER,
    Batch,
    Column,
    Floats,
    Layers,
    Points,
    Quiet,
)
from monitor.ranks import Ranks
from monitor.rules.model import RuleSet
from monitor.series import Stretch, restarts, slice_points
from monitor.views import RunView

WRITERS_PER_SERIES = 16
LIVENESS = "(events)"
"""The subject of alerts about silence, which belong to no tag."""


@dataclass(slots=True)
class _Run:
    """What is kept of one run."""

    name: str
    episodes: Episodes
    heartbeat: Heartbeat
    pulses: list[Track]
    plans: dict[str, Plan] = field(default_factory=dict)
    roles: set[str] = field(default_factory=set)
    """Of all its scalar series, stand-ins apart."""
    losses: list[str] = field(default_factory=list)
    """Tags of training losses, in order of first sight."""
    attempts: dict[str, dict[str, Attempt]] = field(default_factory=dict)
    context: dict[str, dict[str, ContextColumn]] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    layer_stats: dict[str, tuple[Layers, Floats]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """Follows any number of runs under one rule set."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.failures: Failures = {}
        self._runs: dict[str, _Run] = {}
        self._ranks = Ranks()
        self._planner = Planner(rules)

    # --- feeding ------------------------------------------------------------------------

    def feed(self, batch: Batch) -> None:
        """Takes what one read of one file gave."""
        batch = self._ranks.join(batch)
        run = self._runs.get(batch.run)
        if run is None:
            run = self._runs[batch.run] = self._new(batch.run)
        if batch.facts:
            run.facts = MappingProxyType({**run.facts, **batch.facts})
        columns = [column for column in batch.columns if not self._remember(run, column).idle]
        if columns:
            self._judge(run, [column.points() for column in columns])
        run.heartbeat.hear(batch)

    def quiet(self, run: str, writer: str, tag: str) -> Quiet:
        """How what a writer says next of a scalar series may go on, and no rule would have
        anything to say of it.
        """
        known = self._runs.get(run)
        plan = None if known is None or self._ranks.joins(run) else known.plans.get(tag)
        if known is None or plan is None:
            return NOTHING
        if not plan.judged:
            return WHATEVER
        attempt = known.attempts.get(tag, {}).get(writer)
        return NOTHING if attempt is None else attempt.quiet(self.failures)

    def _judge(self, run: _Run, judged: Sequence[Points]) -> None:
        """Shows new points to all rules."""
        # Context first, all of it: joining is by time, so what was written later is not seen.
        for points in judged:
            for role in run.plans[points.key.tag].serves:
                columns = run.context.setdefault(role, {})
                past = columns.get(points.key.tag)
                if past is None:
                    past = columns[points.key.tag] = ContextColumn()
                past.append(points)
                if role == "learning_rate":
                    run.heartbeat.spend(points.key.tag, points.values)
        # Files hold any number there is; what comes of it is the verdict's matter, not a warning's.
        with np.errstate(all="ignore"):
            for points in judged:
                self._evaluate(run, points)
        for columns in run.context.values():
            for past in columns.values():
                past.trim()

    def _new(self, name: str) -> _Run:
        pulses = [Track(rule, LIVENESS) for rule in self._planner.pulses(name)]
        return _Run(name, Episodes(name), Heartbeat(name), pulses)

    def _remember(self, run: _Run, column: Column) -> Plan:
        """Takes note of the last value; what else is to be done with the series."""
        tag, last = column.key.tag, column.last
        if isinstance(last, np.ndarray):
            layers = column.points().layers
            assert layers is not None, "values per layer come with their layers"
            run.layer_stats[tag.removeprefix(LAYER_PREFIX)] = (layers, last.copy())
        else:
            run.scalars[tag] = float(last)
        return run.plans.get(tag) or self._meet(run, tag, isinstance(last, np.ndarray))

    def _meet(self, run: _Run, tag: str, layered: bool) -> Plan:
        """A series is seen for the first time: what is to be done with it, and with stand-ins."""
        plan = self._planner.plan(run.name, tag, layered)
        roles = frozenset[str]() if layered else self.rules.roles.of(run.name, tag)
        for role in roles - run.roles:
            self._stand_down(run, role)
        run.roles |= roles
        if plan.stands_for in run.roles:
            plan = plan.stood_down()
        if plan.curves and "train_loss" in {*roles, plan.stands_for}:
            run.losses.append(tag)
        run.plans[tag] = plan
        return plan

    def _stand_down(self, run: _Run, role: str) -> None:
        """A series has come that has the role; those that stood for it never did."""
        for tag, plan in run.plans.items():
            if plan.stands_for == role:
                run.plans[tag] = plan.stood_down()
                run.context.get(role, {}).pop(tag, None)
                run.episodes.retract(tag, plan.curves)
                for attempt in run.attempts.get(tag, {}).values():
                    attempt.drop_curve()

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
                attempt.advance(stretch.cut(begin, int(cut)), run.episodes, self.failures)
            attempt = self._restart(run, plan, slice_points(points, int(cut), int(cut) + 1))
            begin = int(cut)
        attempt.advance(stretch.cut(begin, len(stretch)), run.episodes, self.failures)

    def _join(self, run: _Run, plan: Plan, points: Points) -> Mapping[str, Floats]:
        # A series need not be looked up in its own past: it knows itself as it is now.
        others = {
            role: joined(run.context, role, points.clock)
            for role in plan.context
            if role not in plan.own
        }
        return {**others, **dict.fromkeys(plan.own, points.values)}

    def _attempt(self, run: _Run, plan: Plan, points: Points) -> Attempt:
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

    def _restart(self, run: _Run, plan: Plan, points: Points) -> Attempt:
        """Begins a new attempt at the first of ``points``; what it supersedes ceases to fire."""
        writers = run.attempts.setdefault(points.key.tag, {})
        first = Moment(0, int(points.steps[0]), float(points.clock[0]))
        for writer, attempt in list(writers.items()):
            if writer == points.writer or attempt.last_clock < first.clock:
                attempt.abandon(run.episodes, first)
                del writers[writer]
        while len(writers) >= WRITERS_PER_SERIES:
            oldest = min(writers, key=lambda name: writers[name].last_clock)
            writers.pop(oldest).abandon(run.episodes, first)
        attempt = writers[points.writer] = begin(plan, points)
        return attempt

    # --- silence ------------------------------------------------------------------------

    def tick(self, now: float) -> frozenset[str]:
        """Lets the liveness detectors listen at ``now`` (seconds since the epoch).

        Returns the runs whose alerts may have changed.
        """
        if not self._planner.listens:
            return frozenset()
        return frozenset(name for name, run in self._runs.items() if self._listen(run, now))

    def _listen(self, run: _Run, now: float) -> bool:
        pulse = run.heartbeat.pulse()
        moment = Moment(pulse.events, pulse.last_step, now)
        changed = False
        for track in run.pulses:
            detector = cast("PulseDetector", track.rule.detector)
            before = track.life.state
            try:
                run.episodes.move_once(track, detector.listen(pulse, now), moment)
            except Exception as error:  # noqa: BLE001 - see Failures
                note(self.failures, track.rule, error)
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
            trend=_trend(run),
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


def _about(run: _Run, alerts: Iterable[Alert]) -> Iterator[Alert]:
    """The alerts with what is known of the run as a whole: which optimizer it is trained with.

    Joined when looked at, since the file that says it need not be the first that is read.
    """
    known = {name: run.facts[name] for name in ("optimizer",) if name in run.facts}
    for alert in alerts:
        evidence = alert.evidence
        facts = {**known, **evidence.facts}
        yield replace(alert, evidence=replace(evidence, facts=facts)) if known else alert


def _trend(run: _Run) -> Floats:
    """The first of the training losses that has a curve, in its latest attempt."""
    for tag in run.losses:
        for attempt in reversed(run.attempts.get(tag, {}).values()):
            if attempt.curve is not None:
                return attempt.curve.means
    return np.empty(0)


def _same(a: Layers | None, b: Layers) -> bool:
    return a is b or a == b


def _continued(writers: Mapping[str, Attempt], points: Points) -> str | None:
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
