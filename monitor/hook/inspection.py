"""Looks at a model as such: at its layers, and at what its first losses were made of."""

from __future__ import annotations

import struct
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from monitor.formats.layerstats import Table
from monitor.hook import seams
from monitor.hook.audit import (
    AUDITS,
    WIDE_CONVOLUTION,
    Finding,
    Layer,
    missing_biases,
    output_activations,
    wide_convolutions,
)
from monitor.hook.graph import graph_of
from monitor.hook.layout import plain
from monitor.hook.modules import kind_of

LOSSES = 4
"""Losses that are looked at, unless the first ones have shown every layer already: a step may have
several, of a generator and of a critic, say."""

CALLS = 16
"""Calls of ``backward`` that are overheard, whosever loss it is."""

TABLE = "audit"

AS_ADVISED, NOT_AS_ADVISED, NOT_SEEN = 1.0, -1.0, float("nan")

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Inspection:
    """Overhears the first calls of ``Tensor.backward``; keeps neither tensors nor graphs.

    What it finds is a table with a column for each kind of finding. The first row, ``model``, says
    that this was looked at (so that a model that has been mended says so); a layer has a row if
    something is to be said of it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.version = 0
        """Grows whenever the table changes."""
        self._model = weakref.ref(model)
        self._found: dict[tuple[str, str], Finding] = {}
        self._seen: set[str] = set()
        self._losses, self._calls = LOSSES, CALLS
        self._complete = False
        self._weights: set[int] = set()
        self._learn((WIDE_CONVOLUTION,), wide_convolutions(layers_of(model)))
        self._leave: Callable[[], None] | None = seams.BACKWARD.listen(self._on_backward)

    def remove(self) -> None:
        """Stop listening."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def table(self) -> Table:
        """Rows, columns, and what each row is about."""
        layers = self._layers()
        return Table(
            columns=AUDITS,
            names=("model", *(layer.name for layer in layers)),
            kinds=("", *(layer.kind for layer in layers)),
            shapes=((), *(layer.weight for layer in layers)),
            followed_by=("", *(self._about(layer) for layer in layers)),
        )

    def matrix(self) -> tuple[int, int, bytes]:
        """Rows, columns, and the values as a frame has them."""
        numbers = [AS_ADVISED if audit in self._seen else NOT_SEEN for audit in AUDITS]
        for layer in self._layers():
            for audit in AUDITS:
                found = (audit, layer.name) in self._found
                numbers.append(NOT_AS_ADVISED if found else NOT_SEEN)
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        return len(numbers) // len(AUDITS), len(AUDITS), packed

    def _layers(self) -> list[Layer]:
        return list(
            {finding.layer.name: finding.layer for finding in self._found.values()}.values()
        )

    def _about(self, layer: Layer) -> str:
        about = (found.about for found in self._found.values() if found.layer.name == layer.name)
        return next(filter(None, about), "")

    def _on_backward(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        self._calls -= 1
        model = self._model()
        if model is not None:
            self._look(model, args[0])
        if model is None or self._complete or not (self._calls and self._losses):
            self.remove()

    def _look(self, model: nn.Module, loss: Tensor) -> None:
        graph = graph_of(loss)
        layers = [] if graph is None else layers_of(model)
        if graph is None or not any(layer.leaf in graph.leaves for layer in layers):
            return  # somebody else's loss, or one behind which nothing can be seen
        self._losses -= 1
        self._weights.update(layer.leaf for layer in layers if layer.leaf in graph.leaves)
        self._complete = len(self._weights) == len(layers)
        found = *output_activations(layers, graph), *missing_biases(layers, graph)
        self._learn(AUDITS, found)

    def _learn(self, audits: Iterable[str], findings: Iterable[Finding]) -> None:
        before = len(self._seen), len(self._found)
        self._seen.update(audits)
        self._found.update({(found.audit, found.layer.name): found for found in findings})
        self.version += before != (len(self._seen), len(self._found))


def layers_of(model: nn.Module) -> list[Layer]:
    """The linear layers and convolutions of ``model``, each once."""
    modules = list(model.named_modules())
    uses = Counter(
        id(parameter)
        for _, m in modules
        for parameter in m._parameters.values()
        if parameter is not None
    )
    words = {m.num_embeddings for _, m in modules if isinstance(m, nn.Embedding)}
    return [
        _layer(name, module, uses[id(module.weight)] > 1, words)
        for name, module in modules
        if isinstance(module, (nn.Linear, *_CONVOLUTIONS))
        and not nn.parameter.is_lazy(module.weight)
    ]


def _layer(name: str, module: Any, shared: bool, words: set[int]) -> Layer:
    convolution = isinstance(module, _CONVOLUTIONS)
    return Layer(
        name=plain(name),
        kind=kind_of(module),
        weight=tuple(module.weight.shape),
        leaf=id(module.weight),
        biased=module.bias is not None,
        shared=shared or module.weight.shape[0] in words,
        stride=tuple(module.stride) if convolution else (),
        groups=module.groups if convolution else 1,
    )
