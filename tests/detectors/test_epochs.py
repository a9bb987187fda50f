"""Curves of one point an epoch: what is to be found, and what is well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.detectors.cases import Case
from tests.detectors.epochs import LENGTHS, epochs


def every(seed: int) -> Iterator[Case]:
    for n in LENGTHS:
        yield from epochs(seed, n)


@pytest.mark.parametrize("case", list(every(0)), ids=lambda case: f"{case.detector}: {case.name}")
def test_epochs(case: Case) -> None:
    assert case.found() == case.sick
