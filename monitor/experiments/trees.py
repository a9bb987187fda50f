"""Batches and outputs: tensors inside tuples, lists, mappings and dataclasses."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def tensors(tree: object, path: str = "") -> list[tuple[str, Tensor]]:
    """(path, tensor) of every tensor, such as ``[0]`` or ``['image']``, in order."""
    if isinstance(tree, Tensor):
        return [(path, tree)]
    if isinstance(tree, Mapping):
        return [t for key in tree for t in tensors(tree[key], f"{path}[{key!r}]")]
    if isinstance(tree, (tuple, list)):
        return [t for i, item in enumerate(tree) for t in tensors(item, f"{path}[{i}]")]
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = dataclasses.fields(tree)
        return [t for f in fields for t in tensors(getattr(tree, f.name), f"{path}.{f.name}")]
    return []


def floats(tree: object) -> list[Tensor]:
    """The dense floating-point tensors with elements."""
    return [t for _, t in tensors(tree) if usable(t)]


def usable(tensor: Tensor) -> bool:
    """Whether the tensor is dense, floating-point and has elements."""
    dense = tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_meta
    return dense and tensor.is_floating_point() and tensor.numel() > 0


def mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with every tensor replaced; everything else is shared, not copied."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        # Not ``type(tree)(...)``: tokenizers hand out mappings with constructors of their own.
        new = copy.copy(tree)
        for key in tree:
            new[key] = mapped(tree[key], change)  # type: ignore[index]
        return new
    if isinstance(tree, (tuple, list)):
        items = [mapped(item, change) for item in tree]
        if hasattr(tree, "_fields"):
            return type(tree)(*items)
        return type(tree)(items)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = {f.name: mapped(getattr(tree, f.name), change) for f in dataclasses.fields(tree)}
        return dataclasses.replace(tree, **fields)
    return tree


def cloned(tree: Any) -> Any:
    """The same structure with copies of its tensors, cut from any graph."""
    return mapped(tree, lambda t: t.detach().clone())
