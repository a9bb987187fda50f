"""What has fired in one run: tracks are moved over verdicts, their episodes are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.alerts import (
    BORN,
    Alert,
    Episode,
    Life,
    Moment,
    Positions,
    State,
    Transition,
    advance,
    visible,
)
from monitor.points import Evidence, Health, Verdict
from monitor.rules.model import Inhibition, Rule

EPISODES_PER_RUN = 200
"""Beyond these the oldest resolved ones are forgotten, and counted."""


@dataclass(slots=True)
class Track:
    """One rule on one attempt of one series."""

    rule: Rule
    tag: str
    life: Life = BORN
    episode: int | None = None
    """The number of its episode, while it fires."""


class Episodes:
    """The episodes of one run, of which the last ``EPISODES_PER_RUN`` are kept."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._kept: dict[int, Episode] = {}
        self._seen = 0
        self._forgotten: Counter[str] = Counter()

    @property
    def forgotten(self) -> Mapping[str, int]:
        """Per alert name: episodes that passed the limit."""
        return dict(self._forgotten)

    def alerts(self, inhibitions: Sequence[Inhibition]) -> tuple[Alert, ...]:
        """What people see of them, in firing order."""
        return visible(tuple(self._kept.values()), inhibitions)

    def move(
        self,
        track: Track,
        health: NDArray[np.int8],
        positions: Positions,
        explain: Callable[[int], Evidence],
    ) -> None:
        """Moves a track over the verdicts [T] of a sweep.

        ``explain(i)`` gives the evidence of verdict i; only asked for those that fire.
        """
        rule = track.rule
        track.life, transitions = advance(
            track.life, health, positions, rule.hold, rule.keep_firing_for
        )
        for transition in transitions:
            if transition.fired:
                self._fire(track, transition, explain(transition.i))
            else:
                self._resolve(track, transition.moment)

    def move_once(self, track: Track, verdict: Verdict, moment: Moment) -> None:
        """Moves a track by a single verdict."""
        if track.life.state is State.INACTIVE and verdict.health is not Health.BAD:
            return
        health = np.array([verdict.health], dtype=np.int8)
        here = Positions(moment.index, np.array([moment.step]), np.array([moment.clock]))

        def explain(_: int) -> Evidence:
            assert verdict.evidence is not None, "a bad verdict carries evidence"
            return verdict.evidence

        self.move(track, health, here, explain)

    def abandon(self, track: Track, at: Moment) -> None:
        """The attempt that the track follows is over: whatever fires has resolved."""
        self._resolve(track, at)
        track.life = BORN

    def retract(self, tag: str, rules: Sequence[Rule]) -> None:
        """These rules should not have looked at the series: nothing has fired."""
        self._kept = {
            number: episode
            for number, episode in self._kept.items()
            if episode.tag != tag or episode.rule not in rules
        }

    def _fire(self, track: Track, transition: Transition, evidence: Evidence) -> None:
        track.episode = self._seen
        self._kept[self._seen] = Episode(
            track.rule, self._run, track.tag, transition.since, transition.moment, evidence
        )
        self._seen += 1
        if len(self._kept) > EPISODES_PER_RUN:
            over = next((n for n, e in self._kept.items() if e.resolved is not None), None)
            if over is not None:
                self._forgotten[self._kept.pop(over).rule.alert] += 1

    def _resolve(self, track: Track, at: Moment) -> None:
        if track.episode is not None:
            self._kept[track.episode] = replace(self._kept[track.episode], resolved=at)
            track.episode = None
