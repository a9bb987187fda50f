"""NaN and infinity: at the start, later, and across the border."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.nonfinite import NonFinite
from monitor.points import Floats, Health, Layers
from tests.detectors.following import Verdict, first_bad, follow, healths

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


CHAIN = Layers(("embed", "fc1", "mask", "fc2", "head"), ("Linear",) * 5)


def flags(*rows: tuple[int, str]) -> Floats:
    """So many points each, with a letter per layer: ``-`` well, ``x`` not finite, ``?`` not run."""
    values = {"-": 0.0, "x": 1.0, "?": np.nan}
    return np.array([[values[c] for c in text] for count, text in rows for _ in range(count)])


def judged(stat: str, *rows: tuple[int, str]) -> list[Verdict]:
    """What is said of the layers, point by point and all at once."""
    values = flags(*rows)
    whole, each = (
        follow(NonFinite(), values, layers=CHAIN, cuts=cuts, tag=f"layer/{stat}")
        for cuts in ((), tuple(range(1, len(values))))
    )
    assert whole == each
    return whole


def told(verdict: Verdict | None) -> tuple[int, tuple[str, ...], int | None]:
    assert verdict is not None
    assert verdict.evidence is not None
    return verdict.at, verdict.evidence.layers, verdict.evidence.onset_step


def test_the_layer_in_which_activations_broke_is_named_first() -> None:
    found = judged("act_nonfinite", (30, "-----"), (2, "---x-"), (5, "-xxxx"))
    assert [v.health for v in found] == [OK] * 30 + [BAD] * 7
    assert told(found[30]) == (30, ("fc2",), 30)
    assert told(found[-1]) == (36, ("fc1", "mask", "fc2", "head"), 30)
    assert found[-1].evidence is not None
    assert "output of fc2 was not finite" in found[-1].evidence.seen
    assert "4 of 5" in found[-1].evidence.seen


def test_gradients_break_from_the_loss_backwards() -> None:
    found = judged("grad_nonfinite", (1, "-----"), (1, "-xx--"), (2, "xxxxx"))
    assert told(first_bad(found)) == (1, ("mask", "fc1"), 1)
    assert found[-1].evidence is not None
    assert "gradient of mask was not finite" in found[-1].evidence.seen


def test_a_network_that_puts_out_nan_at_once_is_broken_and_a_mask_is_not() -> None:
    assert told(first_bad(judged("act_nonfinite", (5, "--xxx")))) == (0, ("mask", "fc2", "head"), 0)
    masked = judged("act_nonfinite", (200, "--x--"), (100, "--x-?"))
    assert [v.health for v in masked] == [U] * 300
    both = judged("act_nonfinite", (100, "--x--"), (3, "-xxx-"))
    assert told(first_bad(both)) == (100, ("fc1", "fc2"), 100)


def test_what_is_broken_for_long_neither_fires_nor_resolves() -> None:
    found = judged("act_nonfinite", (10, "-----"), (100, "-x---"), (1, "-----"))
    assert [v.health for v in found] == [OK] * 10 + [BAD] * 63 + [U] * 37 + [OK]
