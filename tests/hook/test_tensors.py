"""Sampling, and the order of layers, as pure functions."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from monitor.hook.layout import depth_order, plain  # noqa: E402
from monitor.hook.tensors import HostCopy, flat, sample, stride  # noqa: E402

SHAPES = st.lists(st.integers(1, 40), min_size=0, max_size=4).map(tuple)


@settings(deadline=None)  # the first call of an operation loads its code
@given(SHAPES, st.integers(1, 500))
def test_a_sample_has_a_bounded_size_and_an_odd_stride(shape: tuple[int, ...], limit: int) -> None:
    found = stride(shape, limit)
    assert found % 2 == 1
    taken = sample(torch.zeros(shape), limit).numel()
    assert 1 <= taken <= limit
    if math.prod(shape) <= limit:
        assert taken == math.prod(shape)


@settings(deadline=None)  # the first call of an operation loads its code
@given(SHAPES)
def test_flat_keeps_every_element_and_copies_no_permutation(shape: tuple[int, ...]) -> None:
    dense = torch.arange(math.prod(shape)).reshape(shape)
    turned = dense.permute(tuple(reversed(range(dense.ndim))))
    assert sorted(flat(turned).tolist()) == list(range(dense.numel()))
    assert flat(turned).data_ptr() == dense.data_ptr()


def test_a_stride_shares_no_factor_with_a_channel() -> None:
    for shape in ((64, 256, 9, 9), (1024, 4096), (33, 15, 15, 15)):
        found = stride(shape, 4096)
        assert all(math.gcd(found, dim) == 1 for dim in shape)


def test_numbers_of_mixed_types_arrive_in_order() -> None:
    values = [torch.tensor(1), torch.tensor(2.5), torch.tensor(3, dtype=torch.bfloat16)]
    copy = HostCopy(values)
    assert copy.ready()
    assert copy.values().tolist() == [1.0, 2.5, 3.0]
    assert HostCopy([]).values().tolist() == []


def test_order_of_execution() -> None:
    executed = ["stem.conv", "body.1.a", "body.0.a", "head"]
    owners = ["head", "", "body.0.b", "body.0.a", "body", "stem.conv", "lost.fc", "body.1"]
    order = [owners[i] for i in depth_order(owners, executed)]
    assert order == ["", "stem.conv", "body", "body.1", "body.0.a", "body.0.b", "head", "lost.fc"]


def test_nothing_executed_keeps_the_models_order() -> None:
    assert depth_order(["b", "a", ""], []) == [0, 1, 2]


def test_names_without_wrappers() -> None:
    assert plain("_orig_mod.body._checkpoint_wrapped_module.fc") == "body.fc"
    assert plain("") == "model"
