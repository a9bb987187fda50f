"""What has fired in one run, and how much of it is kept."""

from __future__ import annotations

import numpy as np

from monitor.alerts import Moment, Positions
from monitor.episodes import EPISODES_PER_RUN, Episodes, Track
from monitor.points import Evidence, Health, Verdict
from tests.toys import rule


def here(step: int) -> Moment:
    return Moment(step, step, float(step))


BAD = Verdict(Health.BAD, Evidence(1.0, "bad"))
GOOD = Verdict(Health.OK)


def test_evidence_is_asked_for_where_it_fires_and_nowhere_else() -> None:
    asked: list[int] = []

    def explain(i: int) -> Evidence:
        asked.append(i)
        return Evidence(float(i), "bad")

    episodes, track = Episodes("run"), Track(rule(), "loss")
    health = np.array([1, 2, 2, 2, 1, 0, 2], dtype=np.int8)
    steps = np.arange(7)
    episodes.move(track, health, Positions(0, steps, steps.astype(float)), explain)
    assert asked == [1, 6]
    assert [a.evidence.value for a in episodes.alerts(())] == [1.0, 6.0]


def test_an_abandoned_track_has_resolved_and_begins_anew() -> None:
    episodes, track = Episodes("run"), Track(rule(), "loss")
    episodes.move_once(track, BAD, here(5))
    episodes.abandon(track, here(9))
    (alert,) = episodes.alerts(())
    assert alert.resolved == here(9)
    episodes.abandon(track, here(10))
    assert episodes.alerts(())[0].resolved == here(9)


def test_the_number_of_episodes_is_bounded_and_what_goes_is_counted() -> None:
    episodes, track, lasting = Episodes("run"), Track(rule(), "a"), Track(rule("Lasting"), "b")
    episodes.move_once(lasting, BAD, here(0))
    for step in range(0, 4 * EPISODES_PER_RUN, 2):
        episodes.move_once(track, BAD, here(step))
        episodes.move_once(track, GOOD, here(step + 1))
    assert episodes.forgotten == {"Toy": EPISODES_PER_RUN + 1}
    shown = episodes.alerts(())
    assert len(shown) == EPISODES_PER_RUN
    assert "Lasting" in [alert.rule.alert for alert in shown if alert.active]
