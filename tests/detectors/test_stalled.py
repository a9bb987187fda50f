"""Silence: how long is too long, and when nobody is waiting any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.detectors.stalled import Stalled, duration
from monitor.points import Health, Pulse

PULSE = Pulse("run", 100, 99, 1e9, typical_gap=1.0, longest_gap=30.0, ended=False)


def after(seconds: float, pulse: Pulse = PULSE, detector: Stalled | None = None) -> Health:
    return (detector or Stalled()).listen(pulse, pulse.last_wall_time + seconds).health


def test_bad_between_the_limit_and_a_day() -> None:
    assert [after(s) for s in (0, 599, 601, 86000, 86500)] == [
        Health.OK,
        Health.OK,
        Health.BAD,
        Health.BAD,
        Health.UNKNOWN,
    ]


def test_a_run_with_long_pauses_may_be_silent_for_longer() -> None:
    assert after(2000, replace(PULSE, longest_gap=900.0)) is Health.OK
    assert after(2000, replace(PULSE, typical_gap=300.0)) is Health.OK
    assert after(3100, replace(PULSE, typical_gap=300.0)) is Health.BAD


def test_a_run_that_said_it_ended_is_well() -> None:
    assert after(5000, replace(PULSE, ended=True)) is Health.OK


def test_a_schedule_at_its_end_is_as_good_as_a_word() -> None:
    assert after(5000, replace(PULSE, spent=True)) is Health.OK


def test_two_events_make_no_rhythm() -> None:
    assert after(5000, replace(PULSE, events=2)) is Health.UNKNOWN


def test_a_clock_ahead_of_ours_is_no_stall() -> None:
    assert after(-7200) is Health.OK


def test_evidence_says_how_long_and_since_when() -> None:
    verdict = Stalled().listen(PULSE, PULSE.last_wall_time + 1800)
    assert verdict.evidence is not None
    assert verdict.evidence.seen == (
        "nothing logged for 30 min since step 99; the longest pause before was 30 s, "
        "a typical one 1 s"
    )
    assert verdict.evidence.value == pytest.approx(1800)


def test_durations_are_for_people() -> None:
    assert [duration(s) for s in (4.21, 700, 10000)] == ["4.21 s", "12 min", "2.8 h"]
