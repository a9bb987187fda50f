"""A run is over when nothing was heard of it for a day, whatever its own clock says."""

from __future__ import annotations

from monitor.archive import OVER_SECONDS, Archive
from monitor.views import RunView

NOW = 1.8e9
OLD = NOW - OVER_SECONDS - 1


def view(step: int, last_event: float) -> RunView:
    return RunView("r", step, last_event, False, (), {}, {}, {}, {})


def test_what_was_silent_for_a_day_when_it_was_found_is_over_until_it_goes_on() -> None:
    archive = Archive()
    archive.note(view(5, NOW - OVER_SECONDS - 1), NOW, OLD)
    assert archive.holds("r", NOW)
    archive.note(view(5, NOW - OVER_SECONDS - 1), NOW, NOW)  # read again, after a reload
    assert archive.holds("r", NOW)
    archive.note(view(6, NOW - OVER_SECONDS), NOW, NOW)
    assert not archive.holds("r", NOW), "it writes, and its clock is a day late"
    assert archive.holds("r", NOW + OVER_SECONDS + 1)


def test_files_that_were_written_a_moment_ago_are_of_a_run_that_lives() -> None:
    """Its machine may think that it is last year."""
    archive = Archive()
    archive.note(view(5, 1.6e9), NOW, NOW - 60)
    assert not archive.holds("r", NOW)
    archive.note(view(5, 1.6e9), NOW, NOW - 60)
    assert archive.holds("r", NOW + OVER_SECONDS)


def test_what_is_new_or_not_known_is_not_over() -> None:
    archive = Archive()
    assert not archive.holds("r", NOW)
    archive.note(view(5, NOW + 1e6), NOW, NOW)
    assert not archive.holds("r", NOW)
    assert archive.holds("r", NOW + OVER_SECONDS + 1), "no clock ahead of ours keeps it alive"
    archive.forget("r")
    assert not archive.holds("r", NOW + OVER_SECONDS + 1)
