"""Parts of a loss stand for the whole in runs that have none, and only there."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from monitor.engine import Engine
from monitor.points import Batch, Points
from monitor.rules import Match, Roles, load
from monitor.series import slice_points
from tests.toys import CurveMean, batch, rule, rule_set, scalar_points

LOSS = Match(role=(re.compile("^train_loss$"),))
N = 40


def alerts(batches: Sequence[Batch], engine: Engine | None = None) -> list[tuple[str, int]]:
    """(subject, step at which it fired) of each alert."""
    engine = engine or Engine(rule_set(rule("High", CurveMean(), match=LOSS)))
    for each in batches:
        engine.feed(each)
    return [(a.subject, a.fired.step) for a in engine.alerts()]


def series(tag: str, begin: int = 0) -> Points:
    return scalar_points(np.ones(N - begin), tag, steps=list(range(begin, N)))


def in_order(*points: Points) -> list[Batch]:
    """A read for each point, in the order in which they were written."""
    cut = [slice_points(p, i, i + 1) for p in points for i in range(len(p.steps))]
    return [batch(p) for p in sorted(cut, key=lambda p: float(p.clock[0]))]


def test_where_there_is_nothing_else_parts_are_judged() -> None:
    parts = [series("train/box_loss"), series("train/cls_loss")]
    assert alerts([batch(*parts)]) == [("train/box_loss, train/cls_loss", 3)]
    assert alerts(in_order(*parts)) == [("train/box_loss, train/cls_loss", 3)]


@pytest.mark.parametrize("begin", [0, 10])
def test_as_soon_as_there_is_a_whole_loss_they_never_were(begin: int) -> None:
    points = [series("train/box_loss"), series("total_loss", begin)]
    assert alerts([batch(*points)]) == [("total_loss", begin + 3)]
    assert alerts(in_order(*points)) == [("total_loss", begin + 3)]
    later = [batch(series("total_loss", begin)), batch(series("train/box_loss"))]
    assert alerts(later) == [("total_loss", begin + 3)]


def test_parts_of_games_and_priors_stand_for_nothing() -> None:
    names = ("policy_loss", "G_loss", "train/kl_loss", "aux_loss")
    assert alerts([batch(*map(series, names))]) == []


def test_who_has_a_role_in_a_run_is_told_in_one_way() -> None:
    """What draws the loss draws what was judged as the loss."""
    parts = ["metrics/mAP_0.5", "train/box_loss", "train/kl_loss"]
    assert Roles().having("run", parts, "train_loss") == ["train/box_loss"]
    assert Roles().having("run", [*parts, "loss"], "train_loss") == ["loss"]
    assert Roles().having("run", ["lr"], "train_loss") == []


def test_what_they_serve_as_context_goes_with_them() -> None:
    """An overfitting run of a detector of objects: validation is held against training."""
    n, engine = 60, Engine(load(None))
    t = np.arange(n)
    noise = 0.002 * np.random.default_rng(0).normal(size=(2, n))
    falling = 0.05 + 0.2 * np.exp(-t / 15) + noise[0]
    rising = 0.1 + 0.2 * np.exp(-t / 5) + 0.004 * np.maximum(t - 12, 0) + noise[1]
    points = [
        scalar_points(column, name)
        for name, column in {
            "train/box_loss": falling,
            "val/box_loss": falling + 0.02,
            "train/obj_loss": falling / 2,
            "val/obj_loss": rising,
        }.items()
    ]
    assert [subject for subject, _ in alerts([batch(*points)], engine)] == ["val/obj_loss"]
    (alert,) = engine.alerts()
    assert alert.rule.alert == "Overfitting"
    assert "training loss went on to" in alert.evidence.seen
