"""Which runs were over long ago: what is wrong with them is news to nobody."""

from __future__ import annotations

from monitor.views import RunView

OVER_SECONDS = 86400.0
"""A run that was silent for so long has ended, probably without a word."""


class Archive:
    """When each run was last heard of, by the daemon's clock.

    Of what was there before the daemon, the files and the events tell: whichever is later, for a
    machine that trains now may think that it is last year, and a copy may look as if it was new.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[tuple[int, float], float]] = {}
        """Of each run: its latest event, and when that was seen."""

    def note(self, view: RunView, now: float, written: float) -> None:
        """Takes note of a run that was read; its files were last ``written`` to, as far as known.

        All times in seconds since the epoch.
        """
        latest = view.last_step, view.last_event
        known = self._heard.get(view.run)
        if known is None:
            self._heard[view.run] = latest, min(now, max(view.last_event, written))
        elif known[0] != latest:
            self._heard[view.run] = latest, now

    def forget(self, run: str) -> None:
        """The run's files are gone."""
        self._heard.pop(run, None)

    def holds(self, run: str, now: float) -> bool:
        """Whether the run is over; for any thread."""
        known = self._heard.get(run)
        return known is not None and now - known[1] > OVER_SECONDS
