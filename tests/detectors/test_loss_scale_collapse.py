"""A loss scale that collapses, against all that a scaler does in a healthy run."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.loss_scale_collapse import LossScaleCollapse
from monitor.points import Floats
from tests.detectors.following import Verdict, first_bad, follow


def scaler(overflows: Floats, start: float, every: int) -> Floats:
    """What torch's GradScaler makes of it: halved at each overflow, doubled after ``every``."""
    scale, good, found = start, 0, []
    for over in overflows:
        scale, good = (scale / 2, 0) if over else (scale, good + 1)
        if good == every:
            scale, good = scale * 2, 0
        found.append(scale)
    return np.array(found)


def verdict(values: Floats) -> Verdict | None:
    return first_bad(follow(LossScaleCollapse(), values))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("every", [100, 2000])
def test_every_step_overflows_from_some_step_on(seed: int, every: int) -> None:
    at = 200 + 100 * seed
    over = np.arange(1000) >= at
    bad = verdict(scaler(over.astype(float), 2.0**14, every))
    assert bad is not None
    assert at + 6 <= bad.at <= at + 14  # from up to 2**20 to below 2**7
    assert bad.evidence is not None
    assert abs((bad.evidence.onset_step or 0) - at) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_overflows_far_more_often_than_it_recovers(seed: int) -> None:
    chance = np.random.default_rng(seed).random(1500)
    over = (np.arange(1500) > 300) & (chance < 0.05)
    assert verdict(scaler(over.astype(float), 2.0**16, 2000)) is not None


@pytest.mark.parametrize("seed", range(20))
def test_look_alikes_stay_quiet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3000
    now_and_then = (rng.random(n) < 1 / 400).astype(float)
    assert verdict(scaler(now_and_then, 2.0**16, 200)) is None
    # The scale finds its level from far too high.
    first = (np.arange(n) < 20).astype(float)
    assert verdict(scaler(np.maximum(first, now_and_then), 2.0**32, 200)) is None
    # Of a long run only every tenth step is logged, and its gradients grow.
    rarer = (rng.random(10 * n) < 1 / 1000).astype(float)
    assert verdict(np.maximum(scaler(rarer, 2.0**16, 2000)[::10], 2.0**8)) is None
    # Logged by those who do not use it.
    for constant in (1.0, 0.5, 128.0, 65536.0):
        assert verdict(np.full(n, constant)) is None
    growing = scaler(np.zeros(n), 2.0**8, 100)
    assert verdict(np.where(rng.random(n) < 0.1, np.nan, growing)) is None
