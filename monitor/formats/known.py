"""What is known of a file's tags: their series, their plugins, and templates of their events.

A template is what stays the same from one event of a tag to the next: everything but the wall
time, the step and the last four bytes. ``singles`` are those of events with one value, from the
summary's key on; ``values`` those of values among several.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.formats import wire
from monitor.formats.columns import Templates
from monitor.points import SeriesKey

MAX_TEMPLATES = 20_000
MAX_TAGS = 20_000
_SCALARS = b"scalars"
_WALL_KEY, _STEP_KEY = b"\x09", 0x10


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A scalar series of the file."""

    key: SeriesKey
    number: int


class Known:
    """Grows as the file is read; bounded, and begins anew when it is full."""

    def __init__(self, run: str) -> None:
        self.singles: dict[bytes, Series] = {}
        self.values: dict[bytes, Series] = {}
        self.forgotten = 0
        """How often all templates were given up: what they said no longer holds."""
        self._run = run
        self._series: dict[bytes, Series] = {}
        self._plugins: dict[bytes, bytes] = {}
        self._templates: Templates | None = None

    def called(self, tag: bytes) -> Series:
        """The series of a tag; a new one with the next number if there is none."""
        series = self._series.get(tag)
        if series is None:
            key = SeriesKey(self._run, tag.decode(errors="replace"))
            series = self._series[tag] = Series(key, len(self._series))
        return series

    def by_number(self) -> list[Series]:
        """All series; each stands at its number."""
        return list(self._series.values())

    def templates(self) -> Templates:
        """The same as ``singles``, for blocks."""
        if self._templates is None:
            self._templates = Templates()
            for template, series in self.singles.items():
                self._templates.learn(template, series.number)
        return self._templates

    def may_be_scalar(self, tag: bytes) -> bool:
        """Whether a tensor of this tag can be one, by the plugin named for it, if any."""
        return self._plugins.get(tag, _SCALARS) == _SCALARS

    def has_plugin(self, tag: bytes, plugin: bytes) -> None:
        """The first plugin named for a tag counts; templates made without it do not."""
        if tag in self._plugins:
            return
        if len(self._plugins) >= MAX_TAGS:
            self._plugins.clear()
        self._plugins[tag] = plugin
        if tag in self._series and plugin != _SCALARS:
            self.forget_templates()

    def learn_value(self, value: bytes, series: Series) -> None:
        """A summary value that ends with its number and holds nothing but tag and number."""
        if len(self.values) >= MAX_TEMPLATES:
            self.values.clear()
        self.values[value[:-4]] = series

    def learn_single(self, payload: bytes, value: bytes) -> None:
        """An event with one value, if it is wall time, step and a known value, in this order."""
        series = self.values.get(value[:-4])
        if series is None or payload[:1] != _WALL_KEY:
            return
        rest = wire.field_bytes(5, wire.field_bytes(1, value))
        between = payload[9 : len(payload) - len(rest)]
        plain = not between or (
            between[0] == _STEP_KEY and _varint_ends(between) and len(between) <= 11
        )
        if plain and payload.endswith(rest):
            if len(self.singles) >= MAX_TEMPLATES:
                self.forget_templates()
            self.singles[rest[:-4]] = series
            if self._templates is not None:
                self._templates.learn(rest[:-4], series.number)

    def forget_templates(self) -> None:
        self.singles.clear()
        self.values.clear()
        self._templates = None
        self.forgotten += 1

    def trim(self) -> None:
        """Begins anew if there are too many tags; called between reads."""
        if len(self._series) > MAX_TAGS:
            self._series.clear()
            self.forget_templates()


def _varint_ends(between: bytes) -> bool:
    """Whether the step's varint is all that stands between wall time and summary."""
    return len(between) > 1 and between[-1] < 0x80 and all(b > 0x7F for b in between[1:-1])
