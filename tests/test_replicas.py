"""Copies are compared at the steps that all ranks told of, however their files were read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import replicas
from monitor.formats.layerstats import COMPARED_RANKS, REPLICA_NORM, STEPS_SEEN
from monitor.points import Batch, Floats, Layers, Points, SeriesKey
from monitor.ranks import Ranks
from monitor.replicas import Replicas, Told, apart

RUN = "run"
WEIGHTS = Layers(("a", "b"), ("Linear", "Linear"), ((4,), (4,)), ("", ""))


def told(norms: Floats, begin: int = 0) -> Told:
    seen = np.arange(begin, begin + len(norms))
    clock = seen.astype(np.float64)
    return Told(seen, norms, seen + 500, clock, clock)


def test_distances_are_from_the_median_in_parts_of_it() -> None:
    norms = np.array(
        [[2.0, 2.0, 2.2], [1.0, np.nan, 1.0], [np.nan, np.inf, np.nan], [0.0, 0.0, 0.0]]
    )
    expected = np.array([[0, 0, 0.1], [0, 0, 0], [0, 0, 0], [0, 0, 0]], np.float64)
    np.testing.assert_allclose(apart(norms), expected)


def test_ranks_that_did_not_begin_alike_are_no_copies() -> None:
    found = Replicas(2)
    found.tell(0, told(np.ones(5)))
    found.tell(1, told(np.full(5, 1.5)))
    assert found.compare() is None
    found.tell(0, told(np.ones(5), 5))
    found.tell(1, told(np.ones(5), 5))
    assert found.compare() is None


def test_nothing_is_said_while_a_rank_is_missing_and_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replicas, "HELD", 20)
    found = Replicas(2)
    for begin in range(0, 100, 10):
        found.tell(0, told(np.ones(10), begin))
        assert found.compare() is None
    found.tell(1, told(np.ones(100)))
    compared = found.compare()
    assert compared is not None
    assert compared[0].seen.tolist() == list(range(80, 100))


def test_of_a_thousand_ranks_the_first_are_compared() -> None:
    joiner, found = Ranks(), list[Points]()
    for rank in range(COMPARED_RANKS):
        at = np.arange(3.0)
        steps = np.arange(3)
        columns = [
            Points(SeriesKey(RUN, tag), f"rank{rank}", steps, at, at, values)
            for tag, values in ((REPLICA_NORM, np.ones(3)), (STEPS_SEEN, at))
        ]
        facts = {"rank": str(rank), "world_size": "1000"}
        batch = joiner.join(Batch(RUN, f"rank{rank}", columns, facts=facts))
        found += [p for p in batch.points if p.key.tag == "layer/" + replicas.STAT]
    assert [points.values.shape for points in found] == [(3, COMPARED_RANKS)]


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 4), st.data())
def test_how_the_files_were_read_does_not_matter(ranks: int, data: st.DataObject) -> None:
    n = 30
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    drift = np.cumsum(rng.normal(size=(n, ranks)) * (np.arange(n) > 9)[:, None], axis=0)
    norms = np.exp(drift)
    sampled = [sorted(data.draw(st.sets(st.integers(1, n - 1), min_size=5))) for _ in range(ranks)]
    files = [
        list(itertools.chain.from_iterable(parts(rank, [0, *rows], norms[:, rank], ranks, data)))
        for rank, rows in enumerate(sampled)
    ]
    order = data.draw(st.permutations([r for r, file in enumerate(files) for _ in file]))
    joiner, found = Ranks(), list[Points]()
    for rank in order:
        batch = joiner.join(files[rank].pop(0))
        assert not {REPLICA_NORM, STEPS_SEEN} & {c.key.tag for c in batch.columns}
        assert (batch.facts == {}) == (rank > 0)
        found += [p for p in batch.points if p.key.tag == "layer/" + replicas.STAT]
    common = sorted(set.intersection({0, *sampled[0]}, *({0, *rows} for rows in sampled[1:])))
    steps = np.concatenate([points.steps for points in found])
    assert steps.tolist() == [700 + step for step in common]
    assert {points.writer for points in found} == {"rank0"}
    values = np.concatenate([points.values for points in found])
    np.testing.assert_allclose(values, apart(norms[common]), atol=1e-12)


def parts(
    rank: int, rows: list[int], norms: Floats, ranks: int, data: st.DataObject
) -> list[list[Batch]]:
    """One file in several reads: rank 0 tells a norm for each of two weights, others one of all."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows) - 1), max_size=3)))
    facts = {"rank": str(rank), "world_size": str(ranks)}
    found = []
    for a, b in itertools.pairwise([0, *cuts, len(rows)]):
        at = np.array(rows[a:b])
        steps, clock = at + 700, at.astype(np.float64)

        def points(tag: str, values: Floats, layers: Layers | None = None) -> Points:
            key = SeriesKey(RUN, tag)
            return Points(key, f"rank{rank}", steps, clock, clock, values, layers)  # noqa: B023

        norm = norms[at]
        if rank == 0:
            weights = np.stack([0.6 * norm, 0.8 * norm], axis=1)
            columns = points("layer/weight_norm", weights, WEIGHTS), points(STEPS_SEEN, clock)
        else:
            columns = points(REPLICA_NORM, norm), points(STEPS_SEEN, clock)
        found.append([Batch(RUN, f"rank{rank}", columns, facts=facts)])
    return found
