"""Pieces put together are the whole; how the files were read does not matter."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import ranks as module
from monitor.points import Batch, Floats, Layers, Points, SeriesKey
from monitor.ranks import Ranks, combine

LAYERS = Layers(("a", "b"), ("Linear", "Linear"), ((4,), (4,)), ("", ""))
STEPS = 12


def parameter_stats(weights: Floats, grads: Floats, updates: Floats) -> dict[str, Floats]:
    """Of one layer at one step, [1, 1] each; NaN for an empty piece."""
    if not len(weights):
        return dict.fromkeys(NAMES, np.full((1, 1), np.nan))
    norm = np.linalg.norm
    weight, update = norm(weights), norm(updates)
    values = {
        "weight_norm": weight,
        "grad_norm": norm(grads),
        "grad_absmax": np.abs(grads).max(),
        "grad_nonfinite": float(not np.isfinite(grads).all()),
        "update_norm": update,
        "update_ratio": update / weight if weight else math.nan,
    }
    return {name: np.full((1, 1), values[name]) for name in NAMES}


NAMES = (
    "weight_norm", "grad_norm", "grad_absmax", "grad_nonfinite", "update_norm", "update_ratio",
)  # fmt: skip


def module_stats(outputs: Floats) -> dict[str, Floats]:
    values = {
        "act_mean": outputs.mean(),
        "act_rms": np.sqrt((outputs**2).mean()),
        "act_absmax": np.abs(outputs).max(),
        "act_min": outputs.min(),
        "act_nonfinite": 0.0,
        "act_zero_fraction": (outputs == 0).mean(),
        "act_count": float(outputs.size),
    }
    return {name: np.full((1, 1), value) for name, value in values.items()}


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_pieces_of_parameters_make_the_whole(
    seed: int, sizes: list[int], data: st.DataObject
) -> None:
    sizes = [*sizes, data.draw(st.integers(1, 9))]
    rng = np.random.default_rng(seed)
    whole = rng.normal(size=(3, sum(sizes)))
    cuts = np.split(whole, np.cumsum(sizes)[:-1], axis=1)
    copies = data.draw(st.integers(1, 3))
    pieces = [parameter_stats(*cut) for cut in cuts for _ in range(copies)]
    found = combine(pieces, np.full(1, float(copies)))
    for name, value in parameter_stats(*whole).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)


@given(st.integers(0, 2**32), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_parts_of_a_batch_make_the_whole(seed: int, sizes: list[int]) -> None:
    whole = np.maximum(np.random.default_rng(seed).normal(size=sum(sizes)), 0)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    found = combine([module_stats(part) for part in parts], np.ones(1))
    for name, value in module_stats(whole).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_one_bad_piece_makes_the_whole_bad() -> None:
    good = parameter_stats(np.ones(3), np.ones(3), np.ones(3))
    bad = parameter_stats(np.ones(3), np.array([1.0, math.nan, 1.0]), np.ones(3))
    found = combine([good, bad], np.ones(1))
    assert found["grad_nonfinite"][0, 0] == 1.0
    assert math.isnan(found["grad_norm"][0, 0])


def test_what_no_rank_knows_is_unknown() -> None:
    nothing = parameter_stats(np.empty(0), np.empty(0), np.empty(0))
    assert all(np.isnan(v).all() for v in combine([nothing, nothing], np.ones(1)).values())


def facts(rank: int, ranks: int = 2, copies: str = "1") -> dict[str, str]:
    return {"rank": str(rank), "world_size": str(ranks), "parameter_copies": copies}


def batch(rank: int, steps: list[int], named: bool = True, launch: int = 0, **more: str) -> Batch:
    """Norms 3 at rank 0 and 4 at rank 1: 5 together."""
    at = np.array(steps, np.int64)
    clock: Floats = (10 * at + rank).astype(np.float64)
    stats = {
        name: np.full((len(steps), 2), 3.0 + rank) for name in ("weight_norm", "grad_norm")
    } | {"grad_nonfinite": np.zeros((len(steps), 2))}
    writer = f"launch{launch}.rank{rank}"
    points = [
        Points(SeriesKey("run", f"layer/{stat}"), writer, at, clock, clock, values, LAYERS)
        for stat, values in stats.items()
    ]
    if rank == 0:
        loss = Points(SeriesKey("run", "loss"), writer, at, clock, clock, np.ones(len(steps)))
        points.append(loss)
    said = {**facts(rank), **more} if named else {}
    return Batch("run", writer, tuple(points), facts=said)


def joined(ranks: Ranks, *batches: Batch) -> dict[str, list[Any]]:
    """Series -> (step, value of the first layer)."""
    found: dict[str, list[Any]] = {}
    for one in batches:
        for points in ranks.join(one).points:
            values = points.values if points.values.ndim == 1 else points.values[:, 0]
            assert points.writer.endswith("rank0")
            assert len(points.clock) == len(points.steps) == len(values)
            pairs = zip(points.steps.tolist(), values.tolist(), strict=True)
            found.setdefault(points.key.tag, []).extend(pairs)
    return found


def test_files_of_one_rank_pass_untouched() -> None:
    alone = Batch("run", "w", batch(0, [1]).points, facts={"rank": "0"})
    assert Ranks().join(alone) is alone


@given(
    st.lists(st.integers(1, STEPS - 1), max_size=6),
    st.lists(st.integers(1, STEPS - 1), max_size=6),
    st.randoms(),
)
def test_chunks_do_not_matter(left: list[int], right: list[int], order: Any) -> None:
    queues = []
    for rank, cuts in enumerate((left, right)):
        edges = [0, *sorted(set(cuts)), STEPS]
        parts = [list(range(a, b)) for a, b in itertools.pairwise(edges)]
        queues.append([batch(rank, part, named=i == 0) for i, part in enumerate(parts)])
    shuffled: list[Batch] = []
    while any(queues):
        queue = order.choice([q for q in queues if q])
        shuffled.append(queue.pop(0))
    found = joined(Ranks(), *shuffled)
    assert found["layer/grad_norm"] == [(step, 5.0) for step in range(STEPS)]
    assert found["health/grad_norm"] == [(step, pytest.approx(50**0.5)) for step in range(STEPS)]
    assert found["loss"] == [(step, 1.0) for step in range(STEPS)]


def test_only_steps_that_all_ranks_saw_count() -> None:
    found = joined(Ranks(), batch(0, [0, 1, 2, 4, 8]), batch(1, [0, 2, 4, 6, 8], named=True))
    assert [step for step, _ in found["layer/weight_norm"]] == [0, 2, 4, 8]


def test_copies_count_once() -> None:
    found = joined(
        Ranks(), batch(0, [0], parameter_copies="2,1"), batch(1, [0], parameter_copies="2,1")
    )
    assert found["layer/grad_norm"] == [(0, pytest.approx((25 / 2) ** 0.5))]


def test_a_resumed_run_begins_a_new_launch() -> None:
    ranks = Ranks()
    first = joined(ranks, batch(0, [0, 1]), batch(1, [0, 1]))
    again = joined(ranks, batch(0, [1, 2], launch=1), batch(1, [1, 2], launch=1))
    assert first["layer/grad_norm"] == [(0, 5.0), (1, 5.0)]
    assert again["layer/grad_norm"] == [(1, 5.0), (2, 5.0)]


def test_what_waits_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_POINTS", 20)
    ranks = Ranks()
    for step in range(10):
        ranks.join(batch(0, [step], named=step == 0))
    assert ranks.dropped == 7  # six numbers a step
    found = joined(ranks, batch(1, list(range(10))))
    assert [step for step, _ in found["layer/grad_norm"]] == [7, 8, 9]


def test_a_forgotten_run_begins_anew() -> None:
    ranks = Ranks()
    ranks.join(batch(0, [0]))
    ranks.forget("run")
    assert "layer/grad_norm" not in joined(ranks, batch(1, [0]))
