"""NaN and infinity: at the start, later, and across the border."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.nonfinite import NonFinite
from monitor.points import Health
from tests.detectors.following import first_bad, follow, healths

U, OK, BAD = Health.UNKNOWN, Health.OK, Health.BAD


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_every_such_point_is_bad_and_every_other_one_is_fine(value: float) -> None:
    found = follow(NonFinite(), np.array([1.0, value, 2.0, value]))
    assert [v.health for v in found] == [OK, BAD, OK, BAD]


def test_evidence_names_the_last_finite_value_and_the_first_bad_step() -> None:
    steps = np.array([39, 40, 41], dtype=np.int64)
    found = follow(NonFinite(), np.array([2.3123, np.nan, np.nan]), steps)
    assert found[1].evidence is not None
    assert found[1].evidence.seen == "NaN at step 40, was 2.312 at step 39"
    assert found[2].evidence is not None
    assert found[2].evidence.onset_step == 40


def test_the_first_value_may_be_bad() -> None:
    bad = first_bad(follow(NonFinite(), np.array([np.inf, 1.0])))
    assert bad is not None
    assert bad.evidence is not None
    assert bad.evidence.seen == "infinite at step 0, the first value logged"


def test_start_and_later_share_the_run_between_them() -> None:
    values = np.array([1.0, np.nan, 1.0, np.nan])
    steps = np.array([0, 99, 100, 101], dtype=np.int64)
    start = healths(follow(NonFinite(where="start"), values, steps))
    later = healths(follow(NonFinite(where="later"), values, steps))
    assert start.tolist() == [OK, BAD, OK, U]
    assert later.tolist() == [OK, U, OK, BAD]


def test_a_resumed_run_has_no_start() -> None:
    values, steps = np.array([1.0, np.nan]), np.array([5000, 5001], dtype=np.int64)
    assert healths(follow(NonFinite(where="start"), values, steps)).tolist() == [OK, U]
    assert healths(follow(NonFinite(where="later"), values, steps)).tolist() == [OK, BAD]
