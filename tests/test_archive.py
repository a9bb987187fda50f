"""A run is over when nothing was heard of it for a day, whatever its own clock says."""

from __future__ import annotations

from monitor.archive import OVER_SECONDS, Archive
from monitor.views import RunView

NOW = 1.8e9


def view(step: int, last_event: float) -> RunView:
    return RunView("r", step, last_event, False, (), {}, {}, {}, {})


def test_what_was_silent_for_a_day_when_it_was_found_is_over_until_it_goes_on() -> None:
    archive = Archive()
    archive.note(view(5, NOW - OVER_SECONDS - 1), NOW)
    assert archive.holds("r", NOW)
    archive.note(view(5, NOW - OVER_SECONDS - 1), NOW)  # read again, after a reload
    assert archive.holds("r", NOW)
    archive.note(view(6, NOW - OVER_SECONDS), NOW)
    assert not archive.holds("r", NOW), "it writes, and its clock is a day late"
    assert archive.holds("r", NOW + OVER_SECONDS + 1)


def test_what_is_new_or_not_known_is_not_over() -> None:
    archive = Archive()
    assert not archive.holds("r", NOW)
    archive.note(view(5, NOW + 1e6), NOW)
    assert not archive.holds("r", NOW)
    assert archive.holds("r", NOW + OVER_SECONDS + 1), "no clock ahead of ours keeps it alive"
    archive.forget("r")
    assert not archive.holds("r", NOW + OVER_SECONDS + 1)
