"""Where networks meet within a model, by their names."""

from __future__ import annotations

import pytest

from monitor.detectors.parts import seams


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("0.weight", "2.weight", "4.weight", "6.weight"), []),
        (("a.0.weight", "a.2.weight", "b.0.weight", "b.2.weight"), [(1, 2)]),
        (("net.a.0.weight", "net.a.2.weight", "net.b.0.weight", "net.b.2.weight"), [(1, 2)]),
        (("fc1.weight", "fc2.weight", "fc3.weight"), []),
        (("a.0.weight", "a.2.weight", "head.weight"), []),
        (("a.0.w", "a.1.w", "b.0.w", "b.1.w", "c.0.w", "c.1.w"), [(1, 2), (3, 4)]),
        (("weight",), []),
        ((), []),
    ],
)
def test_parts_of_two_layers(names: tuple[str, ...], expected: list[tuple[int, int]]) -> None:
    ends, begins = seams(names, 2)
    assert list(zip(ends.tolist(), begins.tolist(), strict=True)) == expected
