"""The cases of the detectors that want more than a loss, each as a test of its own."""

from __future__ import annotations

import pytest

from tests.detectors.cases import Case, cases

ALL = [case for n in (1000, 3000) for case in cases(0, n)]


@pytest.mark.parametrize("case", ALL, ids=lambda c: f"{c.detector}: {c.name}, {len(c.values)}")
def test_faults_are_found_and_look_alikes_stay_quiet(case: Case) -> None:
    assert case.found() == case.sick
