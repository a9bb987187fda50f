"""Values beyond a number: what is bad, what is unknown, of scalars and of layers."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.threshold import Threshold
from monitor.points import Floats, Health, Layers
from tests.detectors.following import Verdict, first_bad, follow, healths

NAN, INF = float("nan"), float("inf")
THREE = Layers(names=("a", "b", "c"), kinds=("Linear",) * 3)


def letters(detector: Threshold, values: Floats, layers: Layers | None = None) -> str:
    found = healths(follow(detector, values, layers=layers, cuts=(1, 3)))
    return "".join({0: "?", 1: ".", 2: "x"}[int(h)] for h in found)


@pytest.mark.parametrize(
    ("detector", "expected"),
    [
        (Threshold(above=2.0), "...xx?.x"),
        (Threshold(below=1.0), "x....?x."),
        (Threshold(below=1.0, above=2.0), "x..xx?xx"),
        (Threshold(above=1.0, below=3.0), "..x..?.."),
        (Threshold(above=INF), ".....?.."),
    ],
)
def test_bounds_are_good_and_nan_is_unknown(detector: Threshold, expected: str) -> None:
    assert letters(detector, np.array([0.0, 1.0, 2.0, 3.0, 4.0, NAN, -INF, INF])) == expected


def test_one_layer_beyond_the_bound_is_enough() -> None:
    values = np.array([[1, 1, 1], [1, 3, 1], [NAN, NAN, NAN], [NAN, 1, 1], [NAN, 9, 1]], float)
    assert letters(Threshold(above=2), values, THREE) == ".x?.x"


def evidence(detector: Threshold, values: Floats, layers: Layers | None = None) -> Verdict:
    bad = first_bad(follow(detector, values, layers=layers))
    assert bad is not None
    assert bad.evidence is not None
    return bad


def test_the_layers_are_named_the_farthest_first() -> None:
    bad = evidence(Threshold(above=2), np.array([[3.0, 1.0, 9.0]]), THREE)
    assert bad.evidence is not None
    assert bad.evidence.layers == ("c", "a")
    assert bad.evidence.value == 9
    assert bad.evidence.seen == ("2 of 3 layers at step 0: c 9, a 3; the farthest is more than 2")


@pytest.mark.parametrize(
    ("detector", "value", "said"),
    [
        (Threshold(above=2), 2.5, "2.5 at step 0, more than 2"),
        (Threshold(below=2), 1.5, "1.5 at step 0, less than 2"),
        (Threshold(above=5, below=2), 1.5, "1.5 at step 0, less than 2"),
        (Threshold(above=1, below=2), 1.5, "1.5 at step 0, between 1 and 2"),
    ],
)
def test_the_value_and_the_bound_are_said(detector: Threshold, value: float, said: str) -> None:
    bad = evidence(detector, np.array([value]))
    assert bad.evidence is not None
    assert bad.evidence.seen == said


def test_nothing_to_compare_with_is_refused() -> None:
    with pytest.raises(ValueError, match="'above', 'below' or both"):
        Threshold()
    with pytest.raises(ValueError, match=r"^below: other than"):
        Threshold(above=1, below=1)


def test_a_spike_of_one_point_is_one_bad_verdict() -> None:
    """The look-alike that a rule's ``for`` is there for."""
    values = np.ones(50)
    values[20] = 100
    assert (healths(follow(Threshold(above=10), values)) == Health.BAD).sum() == 1
