"""Ranks whose copies of the model are no longer the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.first_steps import lasting
from monitor.detectors.robust import check, number
from monitor.points import Evidence, Floats, Health, Verdicts, Window


@dataclass(frozen=True)
class RankDivergence:
    """Under data parallelism, some rank's weights have parted from the others'.

    Sees how far the norm of each rank's weights is from the ranks' median, in parts of it, at the
    steps that the hook looked at on all of them. Bad where some rank is at least ``apart`` away
    in ``samples`` such steps in a row. One alert names all such ranks.

    Gradients that are averaged over ranks give every copy the same step, to the bit. What parts
    them: a model that is trained bare beside its DistributedDataParallel wrapper, a step that one
    rank skips on a judgement of its own, parameters changed after wrapping, data-dependent
    branches under ``no_sync``, a broken device. The loss of the first rank looks as usual.

    Defaults: ``apart`` 1e-5: sums in another order differ by 1e-7, while different gradients
    move the norm by about a part in 1e4 within some steps, at usual rates. ``samples`` 2: what
    is the same to the bit needs no statistics, and copies that have parted stay apart; a single
    look may fall between a rank's loading a checkpoint and its sending it to the others.

    Stays quiet: ranks that hold pieces (FSDP2, whose pieces are put together) or whose weights
    were not the same before the first step: pipelines, tensor and expert parallelism, a
    model of its own on each rank, forgotten wrappers with a seed for each rank among them;
    trainings that are watched on one rank only. Speaks up, in vain, between the meetings of
    local SGD, whose ranks part on purpose: take the rule out there.

    Source: Li et al., VLDB 2020, PyTorch Distributed: replicas start alike and make the same
    updates, which is what makes data parallelism right; the comparison by norms is our reasoning.
    """

    apart: float = field(
        default=1e-5, metadata={"unit": "ratio", "doc": "distance from the ranks' median"}
    )
    samples: int = field(
        default=2, metadata={"unit": "points", "doc": "sampled steps in a row that must show it"}
    )

    name: ClassVar[str] = "rank_divergence"
    layered: ClassVar[bool] = True
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"stat": "replica_difference"}

    def __post_init__(self) -> None:
        check("apart", 0 < self.apart < np.inf, "more than 0")
        check("samples", self.samples >= 2, "at least 2 sampled steps")

    @property
    def lookback(self) -> int:
        """As many sampled steps as must show it."""
        return self.samples

    def __call__(self, window: Window) -> Verdicts:
        """BAD where one and the same rank was apart in all of the last samples."""
        begin = len(window.steps) - window.new
        health = np.full(window.new, Health.UNKNOWN, np.int8)
        if not window.new:
            return Verdicts(health)
        away = window.values >= self.apart
        enough = window.index + np.arange(len(away)) + 1 >= self.samples
        health[(enough & ~away.max(axis=1, initial=False))[begin:]] = Health.OK
        health[lasting(away, self.samples).max(axis=1, initial=False)[begin:]] = Health.BAD
        return Verdicts(health)

    def explain(self, window: Window) -> Evidence:
        """The ranks that are apart, furthest first."""
        layers = window.layers
        assert layers is not None
        distances: Floats = window.values[-1]
        away = np.flatnonzero((window.values >= self.apart).all(axis=0))
        order = away[np.argsort(-distances[away], kind="stable")]
        names = tuple(layers.names[i] for i in order)
        ranks = ", ".join(name.removeprefix("rank ") for name in names[:5])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        onset, last = int(window.steps[0]), int(window.steps[-1])
        worst = float(distances[order[0]])
        seen = (
            f"of {len(layers.names)} ranks, {ranks}{more} no longer hold the weights of the rest: "
            f"their norm is {number(worst)} of itself away from the median at step {last}, and "
            f"was apart at step {onset} already"
        )
        return Evidence(worst, seen, onset, names)
