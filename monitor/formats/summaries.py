"""Events as TensorBoard's own writers make them: the version that begins a file, and texts."""

from __future__ import annotations

from monitor.formats import wire

ANNOTATIONS = ".training-alerts"
"""How the names of the event files end that the monitor itself writes: they are no runs."""

_DT_STRING = 7
_VERSION = b"brain.Event:2"


def encode_version(wall_time: float) -> bytes:
    """The payload of the record that begins every event file."""
    return wire.field_double(1, wall_time) + wire.field_bytes(3, _VERSION)


def encode_text(tag: str, text: str, step: int, wall_time: float) -> bytes:
    """The payload of a record with one text, in Markdown, for TensorBoard's Text tab."""
    plugin = wire.field_bytes(1, wire.field_bytes(1, b"text"))
    shape = wire.field_bytes(2, wire.field_bytes(2, wire.field_varint(1, 1)))
    said = text.encode("utf-8", "replace")
    tensor = wire.field_varint(1, _DT_STRING) + shape + wire.field_bytes(8, said)
    value = wire.field_bytes(1, tag.encode("utf-8", "replace"))
    value += wire.field_bytes(8, tensor) + wire.field_bytes(9, plugin)
    event = wire.field_double(1, wall_time) + wire.field_varint(2, step)
    return event + wire.field_bytes(5, wire.field_bytes(1, value))
