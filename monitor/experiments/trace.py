"""Watching a forward pass: what goes into and comes out of the layers, in the order they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from monitor.experiments.trees import floats

_TABLES = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True, slots=True)
class Seen:
    """The first run of one module: first floating-point tensor in and out, detached."""

    name: str
    module: nn.Module
    given: Tensor | None
    output: Tensor


def weights(module: nn.Module) -> list[nn.Parameter]:
    """The module's own matrices and kernels: what scales a signal. None of embeddings."""
    if isinstance(module, _TABLES):
        return []
    own = [p for p in module.parameters(recurse=False) if p.ndim > 1]
    recipes = module._modules.get("parametrizations")
    if isinstance(recipes, nn.ModuleDict):
        own += [p for p in recipes.parameters() if p.ndim > 1]
    return own


@contextmanager
def traced(model: nn.Module) -> Iterator[list[Seen]]:
    """Fills the list with every module that has no children or has weights of its own.

    Holds one activation per module, detached: as much as training keeps for its backward pass.
    """
    seen: list[Seen] = []
    handles = [
        module.register_forward_hook(_hook(name, seen))
        for name, module in model.named_modules()
        if weights(module) or not any(True for _ in module.children())
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, seen: list[Seen]) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs, given = floats(output), floats(inputs)
        if outputs and not any(s.module is module for s in seen):
            first = given[0].detach().clone() if given else None
            # Copied: what follows may work in place, as ReLU(inplace=True) does.
            seen.append(Seen(name or "model", module, first, outputs[0].detach().clone()))

    return hook


def layers(seen: list[Seen]) -> list[Seen]:
    """Those with weights, in the order in which they ran."""
    return [s for s in seen if weights(s.module)]
