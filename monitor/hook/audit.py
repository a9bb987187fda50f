"""What can be wrong with a model as such: pure functions of its layers and its autograd graph.

From the practical advice behind the rules: no activation on the output layer, a bias in every
layer, and no more filters than are needed. Findings are few and certain rather than many: what
the graph does not show is not claimed, and what good architectures do on purpose is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monitor.hook.graph import Graph

OUTPUT_ACTIVATION = "audit_output_activation"
MISSING_BIAS = "audit_missing_bias"
WIDE_CONVOLUTION = "audit_wide_convolution"
AUDITS = (OUTPUT_ACTIVATION, MISSING_BIAS, WIDE_CONVOLUTION)
"""Columns of the table ``audit``."""

WIDE = 1024
"""Filters of a convolution above which it is called very wide; 64 or 128 are mostly plenty."""

_STYLE = 4
"""So many layers without a bias, beside normalisation elsewhere, are a style and not a slip."""

_MIXING = frozenset(("Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "Matmul", "Mv", "Addmv"))
_CONVOLUTIONS = frozenset(("Convolution", "ConvolutionOverrideable", "MkldnnConvolution"))

_VIEWS = frozenset((
    "View", "UnsafeView", "ReshapeAlias", "Transpose", "T", "Permute", "Squeeze", "Unsqueeze",
    "Expand", "ToCopy", "Clone", "Alias", "Slice", "Select",
))  # fmt: skip
"""Change no number, or only its type."""

_KEEPING = frozenset((
    "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AvgPool2D", "AvgPool3D",
    "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "AdaptiveMaxPool2D", "Mean", "NativeDropout",
    "FusedDropout", "Cat",
))  # fmt: skip
"""What adds a constant to every place of a channel before these might as well do so after them."""

_CUTTING: Mapping[str, str] = {
    "Relu": "ReLU", "LeakyRelu": "LeakyReLU", "Elu": "ELU", "Celu": "CELU", "Gelu": "GELU",
    "Silu": "SiLU", "Mish": "Mish", "Hardswish": "Hardswish", "PreluKernel": "PReLU",
}  # fmt: skip
"""On the output these cut off, or squeeze, half of what a network could say, which no loss asks
for. Not so a bounded one (for probabilities, the pixels of a generator, an action), a softplus (for
what must be positive), or one that is part of a loss (a hinge, a logistic)."""

_ACTIVATIONS = frozenset(
    (*_CUTTING, "Sigmoid", "Tanh", "Hardsigmoid", "Hardtanh", "Softplus", "Threshold", "Clamp",
     "ClampMin", "RreluWithNoise")
)  # fmt: skip
_NORMS = ("Norm", "Rsqrt", "Var", "Std")
"""Parts of the names of what normalises; by hand it is a variance or a reciprocal root."""

_COMPARING = frozenset((
    "Sub", "Rsub", "MseLoss", "SmoothL1Loss", "HuberLoss", "L1Loss", "LogSoftmax", "NllLoss",
    "NllLoss2D", "NllLossNd", "BinaryCrossEntropy", "BinaryCrossEntropyWithLogits", "KlDiv",
    "PoissonNllLoss",
))  # fmt: skip
"""Where a loss holds the output against a target."""

LOSS_ARITHMETIC = _VIEWS | frozenset((
    "Mean", "Sum", "Mul", "Div", "Add", "Neg", "Pow", "Abs", "Sqrt", "NllLoss", "NllLoss2D",
    "NllLossNd", "Index", "Gather", "MaskedSelect", "Stack", "Cat", "KlDiv",
))  # fmt: skip

_AGAIN: Mapping[str, tuple[str, str]] = {
    "LogSoftmax": ("Softmax", "under a cross-entropy, which applies its own"),
    "NllLoss": ("Softmax", "under a NLL loss, which wants log-probabilities"),
    "NllLoss2D": ("Softmax", "under a NLL loss, which wants log-probabilities"),
    "BinaryCrossEntropyWithLogits": ("Sigmoid", "under a loss that applies its own"),
}
"""What a loss must not be given: comparing operation -> activation, and why not."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer or a convolution."""

    name: str
    kind: str
    weight: tuple[int, ...]
    """Shape of its weight: (outputs, inputs, *kernel)."""
    leaf: int
    """``id`` of its weight."""
    biased: bool = True
    shared: bool = False
    """Its weight is used elsewhere too, or it has as many outputs as there are words to embed."""
    stride: tuple[int, ...] = ()
    groups: int = 1


class Finding(NamedTuple):
    """One layer of which something is to be said."""

    audit: str
    layer: Layer
    about: str = ""


def wide_convolutions(layers: Sequence[Layer]) -> Iterator[Finding]:
    """Convolutions with more than 1,024 filters that look at more than one place.

    Not those of width 1 (they are linear layers), grouped ones, or patch embeddings.
    """
    for layer in layers:
        kernel = layer.weight[2:]
        if not kernel or layer.weight[0] <= WIDE or layer.groups > 1:
            continue
        if max(kernel) > 1 and kernel != layer.stride:
            yield Finding(WIDE_CONVOLUTION, layer)


def output_activations(layers: Sequence[Layer], graph: Graph) -> Iterator[Finding]:
    """Layers whose output reaches the loss through an activation that does not belong there.

    An activation counts as the output's if loss functions are all that ever looks at it: what a
    hidden layer feeds into a penalty is fed into the next layer as well.
    """
    made_by = {
        use: layer
        for layer in layers
        if layer.leaf in graph.leaves
        for use in _uses(graph, graph.leaves[layer.leaf])
    }
    for compare in _comparisons(graph):
        for operand in graph.inputs[compare]:
            node = _through_views(graph, operand)
            kind, about = graph.kinds[node], ""
            if kind in _CUTTING:
                about = _CUTTING[kind]
            elif kind == _AGAIN.get(graph.kinds[compare], ("",))[0]:
                about = f"{kind} {_AGAIN[graph.kinds[compare]][1]}"
            if not about or not _only_compared(graph, node):
                continue
            below = _through_views(graph, graph.inputs[node][0]) if graph.inputs[node] else -1
            if below in made_by:
                yield Finding(OUTPUT_ACTIVATION, made_by[below], about)


def missing_biases(layers: Sequence[Layer], graph: Graph) -> Iterator[Finding]:
    """Layers without a bias whose output goes straight into an activation or the loss.

    Not where normalisation follows, before the activation or right behind it, nor where a sum, a
    product, attention or another layer follows: these have a bias of their own, or want none.
    Not gates, and not where a normalised net does without a bias throughout.
    """
    seen = [(layer, graph.leaves[layer.leaf]) for layer in layers if layer.leaf in graph.leaves]
    ends = {layer.name: _ends(graph, leaf) for layer, leaf in seen}
    open_ended = [layer for layer, _ in seen if not _normalised(graph, ends[layer.name])]
    bare = [layer for layer in open_ended if not layer.biased]
    throughout = len(bare) >= _STYLE and 2 * len(bare) >= len(open_ended)
    if throughout and any(map(_normalises, graph.kinds)):
        return
    for layer in bare:
        after = ends[layer.name]
        if layer.shared or not after or not all(_wants_bias(graph, node) for node in after):
            continue
        yield Finding(MISSING_BIAS, layer)


# --- looking around in a graph --------------------------------------------------------------


def _through_views(graph: Graph, node: int) -> int:
    """What made the numbers that ``node`` only shows in another shape or type."""
    while graph.kinds[node] in _VIEWS and len(graph.inputs[node]) == 1:
        node = graph.inputs[node][0]
    return node


def _uses(graph: Graph, leaf: int) -> set[int]:
    """The operations that a parameter enters, transposed or cast on its way."""
    return _next(graph, [leaf], _VIEWS)


def _next(graph: Graph, begin: Sequence[int], passing: frozenset[str]) -> set[int]:
    """The first operations after ``begin`` that are not ``passing``."""
    found, known, waiting = set[int](), set(begin), list(begin)
    while waiting:
        for node in graph.consumers[waiting.pop()]:
            if node in known:
                continue
            known.add(node)
            if graph.kinds[node] in passing or _scales(graph, node):
                waiting.append(node)
            else:
                found.add(node)
    return found


def _scales(graph: Graph, node: int) -> bool:
    """Whether it multiplies by what has no gradient: a mask (dropout), a number."""
    return graph.kinds[node] in {"Mul", "Div"} and len(graph.inputs[node]) == 1


def _ends(graph: Graph, leaf: int) -> set[int]:
    """The first operations that do something to the output of the layer with this weight."""
    uses = [u for u in _uses(graph, leaf) if graph.kinds[u] in _MIXING | _CONVOLUTIONS]
    return _next(graph, uses, _VIEWS | _KEEPING)


def _normalises(kind: str) -> bool:
    return any(part in kind for part in _NORMS)


def _normalised(graph: Graph, ends: set[int]) -> bool:
    """Whether normalisation follows, before an activation or right behind it."""
    behind = {
        node for end in ends if graph.kinds[end] in _ACTIVATIONS for node in _after(graph, end)
    }
    return any(_normalises(graph.kinds[node]) for node in ends | behind)


def _after(graph: Graph, node: int) -> set[int]:
    return _next(graph, [node], _VIEWS | _KEEPING)


def _wants_bias(graph: Graph, node: int) -> bool:
    kind = graph.kinds[node]
    if kind in _ACTIVATIONS:
        return not _gates(graph, node)
    return kind in _COMPARING - {"Sub", "Rsub"}


def _gates(graph: Graph, node: int, depth: int = 3) -> bool:
    """Whether all that comes of an activation, layers in between or not, multiplies something."""
    after = _after(graph, node)
    for found in list(after):
        if depth and graph.kinds[found] in _MIXING | _CONVOLUTIONS:
            after.remove(found)
            after |= _after(graph, found)
    return bool(after) and all(
        graph.kinds[found] == "Mul"
        or (depth > 0 and graph.kinds[found] in _ACTIVATIONS and _gates(graph, found, depth - 1))
        for found in after
    )


def _comparisons(graph: Graph) -> Iterator[int]:
    """Where outputs are held against targets: the first such on every way down from the loss."""
    known, waiting = {0}, [0]
    while waiting:
        node = waiting.pop()
        kind = graph.kinds[node]
        if kind in _COMPARING:
            yield node
        if kind in LOSS_ARITHMETIC:
            for operand in graph.inputs[node]:
                if operand not in known:
                    known.add(operand)
                    waiting.append(operand)


def _only_compared(graph: Graph, node: int) -> bool:
    return all(graph.kinds[after] in _COMPARING for after in _next(graph, [node], _VIEWS))
