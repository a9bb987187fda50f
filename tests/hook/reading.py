"""Reads a health file back with the daemon's own decoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from monitor.formats import wire
from monitor.formats.event import EventDecoder
from monitor.formats.layerstats import Header, LayerDecoder
from monitor.formats.records import Corruption, RecordReader
from monitor.points import Batch, Floats, Points


def health_files(logdir: Path) -> list[Path]:
    """The hook's files, oldest first."""
    return sorted(logdir.glob("events.out.health.tfevents.*"))


def payloads(logdir: Path) -> list[bytes]:
    """The records of the only health file; every one of them must be whole."""
    (path,) = health_files(logdir)
    return records(path)


def records(path: Path) -> list[bytes]:
    """The records of one health file; every one of them must be whole."""
    data = path.read_bytes()
    reader, good = RecordReader(), list[bytes]()
    for at in range(0, len(data), 10_000):
        found = reader.feed(data[at : at + 10_000], final=at + 10_000 >= len(data))
        good += [record for record in found if isinstance(record, bytes)]
        assert not any(isinstance(record, Corruption) for record in found)
    return good


class Stream:
    """The series of a run's only health file, or of the file at ``path``."""

    def __init__(self, path: Path) -> None:
        read = payloads(path) if path.is_dir() else records(path)
        batch: Batch = EventDecoder(".", "w").decode(read)
        self.facts = dict(batch.facts)
        self.ended = batch.ended
        self.points: dict[str, Points] = {}
        for points in batch.points:
            known = self.points.get(points.key.tag)
            if known is None or known.layers != points.layers:
                self.points[points.key.tag] = points  # the latest layout wins

    def values(self, tag: str) -> Floats:
        """[T], or [T, N] for a layer statistic."""
        return self.points[tag].values

    def steps(self, tag: str) -> list[int]:
        """Steps of the series."""
        return [int(step) for step in self.points[tag].steps]

    def column(self, stat: str, layer: str) -> list[float]:
        """One layer's statistic over time."""
        points = self.points[f"layer/{stat}"]
        assert points.layers is not None
        at = points.layers.names.index(layer)
        return [float(value) for value in points.values[:, at]]

    def names(self, stat: str) -> tuple[str, ...]:
        """The rows of the table that holds ``stat``."""
        layers = self.points[f"layer/{stat}"].layers
        assert layers is not None
        return layers.names


def headers(logdir: Path) -> Iterator[Header]:
    """Every header of the file, in order."""
    decoder = LayerDecoder()
    for payload in payloads(logdir):
        for number, _, summary in wire.fields(payload):
            if number != 5:
                continue
            assert isinstance(summary, bytes)
            for _, _, value in wire.fields(summary):
                assert isinstance(value, bytes)
                record = decoder.decode(*_value(value))
                if isinstance(record, Header):
                    yield record


def _value(value: bytes) -> tuple[str, bytes, bytes]:
    parts = {n: v for n, _, v in wire.fields(value) if isinstance(v, bytes)}
    plugin = {n: v for n, _, v in wire.fields(parts[9])}[1]
    assert isinstance(plugin, bytes)
    content = {n: v for n, _, v in wire.fields(plugin)}[2]
    assert isinstance(content, bytes)
    return parts[1].decode(), content, parts[8]
