"""What several ranks wrote becomes one run: pieces are put together, copies are compared.

Under FSDP2 every rank holds a piece of each parameter and sees a part of each batch. The hook
measures these without asking the other ranks and writes a file per rank, whose header says how
many ranks hold the very same piece (``parameter_copies``). Where every rank holds everything, the
first tells it all and the others a number by which they are compared (:mod:`monitor.replicas`).
Here, and only here, ranks meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from monitor.formats.layerstats import COMPARED_RANKS, REPLICA_NORM, STEPS_SEEN
from monitor.points import LAYER_PREFIX, Batch, Floats, Ints, Layers, Points, SeriesKey
from monitor.replicas import STAT, Replicas, Told

HELD_POINTS = 50_000_000
"""Numbers of one launch that may wait for other ranks; then the older half is let go."""

GRAD_NORM = "health/grad_norm"
_WEIGHTS = LAYER_PREFIX + "weight_norm"

_ADDED_SQUARES = ("weight_norm", "grad_norm", "update_norm")
_GREATEST = ("grad_absmax", "grad_nonfinite", "act_absmax", "act_nonfinite")
_AVERAGED = ("act_mean", "act_zero_fraction", "act_saturated_fraction", "act_dead_fraction")

_OF_PARAMETERS = tuple(LAYER_PREFIX + name for name in ("weight_", "grad_", "update_"))

Stats = Mapping[str, Floats]
"""Statistic -> [T steps, N layers]."""


def combine(pieces: Sequence[Stats], copies: Floats) -> dict[str, Floats]:
    """What one rank would have seen that held everything.

    ``pieces``: per rank, the same statistics of the same steps and layers; ``copies``: per layer
    [N], how many ranks hold the same piece. Norms add up as squares, extremes are the greatest,
    means count by elements. NaN (unknown) at one rank is unknown for all, except that a rank
    that knows nothing at all of a layer at some step, for its piece is empty, is left out.
    """
    stats = {stat: np.stack([piece[stat] for piece in pieces]) for stat in pieces[0]}
    empty = np.all([np.isnan(values) for values in stats.values()], axis=0)
    nowhere, count = empty.all(axis=0), stats.get("act_count")
    found = {
        stat: np.where(nowhere, np.nan, _together(stat, values, empty, count, copies))
        for stat, values in stats.items()
    }
    if "update_ratio" in stats:  # of the whole norms
        weight, update = found["weight_norm"], found["update_norm"]
        unknown = np.full_like(weight, np.nan)
        found["update_ratio"] = np.divide(update, weight, out=unknown, where=weight > 0)
    return found


def _together(
    stat: str, values: Floats, empty: NDArray[np.bool_], count: Floats | None, copies: Floats
) -> Floats:
    """One statistic [T, N] from those of all ranks [ranks, T, N]."""
    if stat in _ADDED_SQUARES:
        total = (np.where(empty, 0.0, values) ** 2).sum(axis=0)
        whole: Floats = np.sqrt(total / copies)
        return whole
    if stat in _GREATEST:
        return np.asarray(np.where(empty, -np.inf, values).max(axis=0))
    if stat == "act_min":
        return np.asarray(np.where(empty, np.inf, values).min(axis=0))
    if stat == "act_count":
        return np.asarray(np.where(empty, 0.0, values).sum(axis=0))
    if stat in _AVERAGED and count is not None:
        return _mean(values, count)
    if stat == "act_rms" and count is not None:
        return np.asarray(np.sqrt(_mean(values**2, count)))
    return np.asarray(values[0])


def _mean(values: Floats, count: Floats) -> Floats:
    """Mean over ranks (axis 0), in proportion to the elements that each has seen."""
    ran = ~np.isnan(count)
    total = np.where(ran, count, 0.0).sum(axis=0)
    weighted = np.where(ran, values * count, 0.0).sum(axis=0)
    mean: Floats = np.divide(weighted, total, out=np.full_like(total, np.nan), where=total > 0)
    return mean


@dataclass(frozen=True, slots=True)
class _Piece:
    """Consecutive frames of one table, from one rank."""

    layers: Layers
    steps: Ints
    walls: Floats
    clock: Floats
    stats: Stats

    def choose(self, rows: NDArray[np.intp]) -> _Piece:
        return _Piece(
            self.layers,
            self.steps[rows],
            self.walls[rows],
            self.clock[rows],
            {stat: values[rows] for stat, values in self.stats.items()},
        )

    @property
    def size(self) -> int:
        return sum(values.size for values in self.stats.values())


@dataclass(slots=True)
class _Launch:
    """The files of one start of the training: rank -> what waits for other ranks."""

    ranks: int
    copies: str = "1"
    first: str = ""
    """The writer whose name the joined series bear: rank 0's."""
    waiting: dict[tuple[str, ...], dict[int, list[_Piece]]] = field(default_factory=dict)
    """By the statistics of the table."""
    copies_of_all: Replicas | None = None
    """There, if nothing is sharded."""


class Ranks:
    """Joins the files of several ranks; what other files say passes through untouched."""

    def __init__(self) -> None:
        self.dropped = 0
        """Frames so far that were let go because the other ranks' were missing for too long."""
        self._facts: dict[tuple[str, str], dict[str, str]] = {}
        self._launches: dict[tuple[str, str], _Launch] = {}
        self._known: dict[str, list[tuple[int, str, _Launch]]] = {}

    def adopt(self, other: Ranks) -> None:
        """Takes over runs that only ``other``, which is not used any more, has seen."""
        self.dropped += other.dropped
        self._facts.update(other._facts)
        self._launches.update(other._launches)
        self._known.update(other._known)

    def forget(self, run: str) -> None:
        """Drops a run; nothing happens if it was never seen."""
        self._known.pop(run, None)
        for key in [key for key in self._facts if key[0] == run]:
            del self._facts[key]
            self._launches.pop(key, None)

    def joins(self, run: str) -> bool:
        """Whether what a run's files say is not what becomes of it."""
        return run in self._known

    def join(self, batch: Batch) -> Batch:
        """The batch, with the layer statistics of sharded runs as one rank would have them.

        They, and how far copies are apart, come with the batch of whichever rank was read last.
        """
        key = batch.run, batch.writer
        if _number(batch.facts, "world_size") > 1:
            self._facts[key] = dict(batch.facts)
        facts = self._facts.get(key)
        if facts is None:
            return batch
        rank, launch = _number(facts, "rank"), self._launch(batch, facts)
        if "parameter_copies" not in facts:
            return _compared(batch, rank, launch)
        launch.copies = facts["parameter_copies"]
        if rank == 0:
            launch.first = batch.writer
        others = tuple(points for points in batch.points if not _in_pieces(points))
        for piece in _pieces(batch):
            launch.waiting.setdefault(tuple(piece.stats), {}).setdefault(rank, []).append(piece)
        joined = tuple(self._release(batch.run, launch))
        known = batch.facts if rank == 0 else {}
        return batch._replace(columns=others + joined, facts=known)

    def _launch(self, batch: Batch, facts: Mapping[str, str]) -> _Launch:
        """The launch that a file belongs to: the first in which its rank is still missing."""
        key = batch.run, batch.writer
        launch = self._launches.get(key)
        if launch is None:
            rank = _number(facts, "rank")
            known = self._known.setdefault(batch.run, [])
            taken = [there for number, _, there in known if number == rank]
            launches = list({id(there): there for _, _, there in known}.values())
            free = [there for there in launches if not any(there is t for t in taken)]
            launch = free[0] if free else _Launch(_number(facts, "world_size"))
            known.append((rank, batch.writer, launch))
            self._launches[key] = launch
        return launch

    def _release(self, run: str, launch: _Launch) -> Iterator[Points]:
        for waiting in launch.waiting.values():
            if len(waiting) < launch.ranks:
                self._bound(waiting)
                continue
            pieces = [_merged(waiting[rank]) for rank in sorted(waiting)]
            if any(piece is None for piece in pieces):
                self._bound(waiting)
                continue
            whole = [piece for piece in pieces if piece is not None]
            horizon = min(int(piece.steps[-1]) for piece in whole)
            common = reduce(np.intersect1d, [piece.steps for piece in whole])
            common = common[common <= horizon]
            if len(common):
                chosen = [p.choose(_last_of(p.steps, common)) for p in whole]
                yield from _points(run, launch, chosen)
            for rank, piece in zip(sorted(waiting), whole, strict=True):
                later = piece.choose(np.flatnonzero(piece.steps > horizon))
                rest = waiting[rank][_run_length(waiting[rank]) :]
                waiting[rank] = ([later] if len(later.steps) else []) + rest

    def _bound(self, waiting: dict[int, list[_Piece]]) -> None:
        for rank, pieces in waiting.items():
            held, kept = 0, list[_Piece]()
            for piece in reversed(pieces):
                held += piece.size
                if held > HELD_POINTS:
                    self.dropped += len(piece.steps)
                else:
                    kept.insert(0, piece)
            waiting[rank] = kept


def _compared(batch: Batch, rank: int, launch: _Launch) -> Batch:
    """The batch without what ranks tell for comparison, but with what came of it."""
    if launch.copies_of_all is None:
        launch.copies_of_all = Replicas(min(launch.ranks, COMPARED_RANKS))
    if rank == 0:
        launch.first = batch.writer
    told = [c.points() for c in batch.columns if c.key.tag in (REPLICA_NORM, STEPS_SEEN, _WEIGHTS)]
    seen = [points for points in told if points.key.tag == STEPS_SEEN]
    for points in told:
        if points.key.tag == STEPS_SEEN or not seen:
            continue
        launch.copies_of_all.tell(rank, _told(points, seen))
    columns = [c for c in batch.columns if c.key.tag not in (REPLICA_NORM, STEPS_SEEN)]
    found = launch.copies_of_all.compare()
    if found is not None:
        (at, apart), key = found, SeriesKey(batch.run, LAYER_PREFIX + STAT)
        layers = launch.copies_of_all.layers
        columns.append(Points(key, launch.first, at.steps, at.walls, at.clock, apart, layers))
    return batch._replace(columns=tuple(columns), facts=batch.facts if rank == 0 else {})


def _told(points: Points, seen: Sequence[Points]) -> Told:
    """Norms, as one number a step or one per weight, with how many steps were seen by then."""
    number = dict(
        zip(
            np.concatenate([s.steps for s in seen]).tolist(),
            np.concatenate([s.values for s in seen]).tolist(),
            strict=True,
        )
    )
    rows = np.array([i for i, step in enumerate(points.steps.tolist()) if step in number], np.intp)
    steps, values = points.steps[rows], points.values[rows]
    norms = values if points.layers is None else np.sqrt(np.nansum(values**2, axis=1))
    count = np.array([number[step] for step in steps.tolist()], np.int64)
    return Told(count, norms, steps, points.wall_times[rows], points.clock[rows])


def _number(facts: Mapping[str, str], name: str) -> int:
    text = facts.get(name, "")
    return int(text) if text.isdecimal() else 0


def _in_pieces(points: Points) -> bool:
    """Whether ranks have to be put together; what only one of them says is whole already."""
    return points.key.tag.startswith((LAYER_PREFIX + "act_", *_OF_PARAMETERS))


def _pieces(batch: Batch) -> Iterator[_Piece]:
    """The layer series of a batch, table by table."""
    tables: dict[tuple[int, int, int], list[Points]] = {}
    for points in batch.points:
        if points.layers is not None and len(points.steps) and _in_pieces(points):
            place = id(points.layers), len(points.steps), int(points.steps[0])
            tables.setdefault(place, []).append(points)
    for table in tables.values():
        first = table[0]
        assert first.layers is not None
        stats = {points.key.tag.removeprefix(LAYER_PREFIX): points.values for points in table}
        yield _Piece(first.layers, first.steps, first.wall_times, first.clock, stats)


def _run_length(pieces: Sequence[_Piece]) -> int:
    """How many of the first pieces have the same layers."""
    length = 0
    while length < len(pieces) and pieces[length].layers == pieces[0].layers:
        length += 1
    return length


def _merged(pieces: Sequence[_Piece]) -> _Piece | None:
    """The first pieces that have the same layers, as one; None if there are none."""
    same = pieces[: _run_length(pieces)]
    if not same:
        return None
    if len(same) == 1:
        return same[0]
    join = np.concatenate
    return _Piece(
        same[0].layers,
        join([p.steps for p in same]),
        join([p.walls for p in same]),
        join([p.clock for p in same]),
        {stat: join([p.stats[stat] for p in same]) for stat in same[0].stats},
    )


def _last_of(steps: Ints, wanted: Ints) -> NDArray[np.intp]:
    """Positions of the last occurrence in ``steps`` of each of ``wanted``."""
    order = np.argsort(steps, kind="stable")
    at: NDArray[np.intp] = order[np.searchsorted(steps[order], wanted, side="right") - 1]
    return at


def _points(run: str, launch: _Launch, pieces: Sequence[_Piece]) -> Iterator[Points]:
    first = pieces[0]
    if any(piece.layers.names != first.layers.names for piece in pieces):
        return  # ranks with different layers (pipelines, experts) have nothing to be added up
    with np.errstate(all="ignore"):
        whole = combine([piece.stats for piece in pieces], _copies(launch, first.layers))
    walls = np.max([piece.walls for piece in pieces], axis=0)
    clock = np.max([piece.clock for piece in pieces], axis=0)
    for stat, values in whole.items():
        key = SeriesKey(run, LAYER_PREFIX + stat)
        yield Points(key, launch.first, first.steps, walls, clock, values, first.layers)
    grads = whole.get("grad_norm")
    if grads is not None:
        known = ~np.isnan(grads).all(axis=1)
        squares = np.where(np.isnan(grads) & ~_broken(whole), 0.0, grads) ** 2
        norm = np.sqrt(squares.sum(axis=1))[known]
        key, steps = SeriesKey(run, GRAD_NORM), first.steps[known]
        yield Points(key, launch.first, steps, walls[known], clock[known], norm)


def _broken(whole: Mapping[str, Floats]) -> NDArray[np.bool_]:
    """Where a NaN is a gradient's own, and not that of a parameter without one."""
    bad = whole.get("grad_nonfinite")
    return np.zeros(1, np.bool_) if bad is None else np.asarray(bad > 0)


def _copies(launch: _Launch, layers: Layers) -> Floats:
    """Copies per layer [N]; of module outputs and where the header makes no sense: 1."""
    given = launch.copies.split(",")
    numbers = np.array([float(text) if text.isdecimal() else 1.0 for text in given])
    if len(numbers) == 1 or len(numbers) == len(layers.names):
        return np.broadcast_to(np.maximum(numbers, 1.0), (len(layers.names),))
    return np.ones(len(layers.names))
