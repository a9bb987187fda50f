"""Activations: forward hooks on the modules that do the work, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monitor.hook.callbacks import Callback
from monitor.hook.index import Index, Known
from monitor.hook.silence import Silence
from monitor.hook.tensors import capturing, first_usable, sample, usable

SAMPLED = 8192
"""Elements read for the zero and saturated fractions; sums and extremes read every element."""

INPUT_SAMPLED = 16384
"""Elements read for the spread of the first module's input."""

ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.CELU, nn.ELU, nn.GELU, nn.GLU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
    nn.LeakyReLU, nn.LogSigmoid, nn.LogSoftmax, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU,
    nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.Softplus,
    nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
"""Modules that ``followed_by`` names."""

_UNIT = (nn.Sigmoid, nn.Hardsigmoid)
_SYMMETRIC = (nn.Tanh, nn.Softsign)

SATURATED = 0.99
"""A unit is saturated when within 1 % of a bound: y < 0.01 or y > 0.99 (Sigmoid, Hardsigmoid),
abs(y) > 0.99 (Tanh, Softsign). A softmax is saturated where a row's largest entry exceeds 0.99:
single entries near 0 are what a softmax over many classes looks like when all is well."""

ROW = 8
"""Entries of a softmax's row from which on its sharpness means something: attention over a single
place is one-hot whatever the weights, and so is the first row under a causal mask."""


def leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, module) of the modules whose outputs are looked at, each once.

    Those without children, and those whose children never run by themselves: attention calls
    its projections as functions, a parametrized module only keeps its recipes in children.
    """
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():
        if module in inside:
            continue
        children = dict(module.named_children())
        if isinstance(module, nn.MultiheadAttention) or set(children) == {"parametrizations"}:
            inside.update(m for m in module.modules() if m is not module)
        elif children:
            continue
        yield name, module


def kind_of(module: nn.Module) -> str:
    """Name of the module's class, without what FSDP2 puts before it."""
    kind = type(module)
    if kind.__name__.startswith("FSDP") and len(kind.__bases__) > 1:
        kind = kind.__bases__[-1]
    return kind.__name__


def multiplies(module: nn.Module) -> bool:
    """Whether the module's input meets weights: what comes before may still normalise it."""
    return "norm" not in kind_of(module).lower() and any(True for _ in module.parameters())


def saturated(module: nn.Module, output: Tensor) -> Tensor | None:
    """0-d: fraction of sampled outputs of a bounded activation near their bounds, or None."""
    if isinstance(module, _UNIT):
        return ((sample(output, SAMPLED) - 0.5).abs() > SATURATED - 0.5).float().mean()
    if isinstance(module, _SYMMETRIC):
        return (sample(output, SAMPLED).abs() > SATURATED).float().mean()
    if isinstance(module, nn.Softmax) and module.dim in (-1, output.ndim - 1):
        if output.shape[-1] < ROW:
            return None
        rows = output.reshape(-1, output.shape[-1])
        few = max(1, SAMPLED // rows.shape[1])
        rows = rows[:: -(-rows.shape[0] // few) | 1]
        return (rows.amax(-1) > SATURATED).float().mean()
    return None


@dataclass(frozen=True, slots=True)
class Activations:
    """What one step's forward pass left on the device, yet to be copied.

    ``values`` are 0-d tensors: five for each of ``rows`` (sum, 2-norm, minimum, maximum, number
    of non-zero among ``looked`` sampled of ``counts`` elements), one for each of
    ``saturated_rows`` and of ``dead_rows``, then four of the first input if ``input_count`` (its
    number of elements) is not 0: sum, minimum, maximum, standard deviation.
    """

    rows: Index
    counts: Index
    looked: Index
    saturated_rows: Index
    dead_rows: Index
    input_count: int
    values: Sequence[Tensor]


class _Taken:
    """What the forward pass of the present step has left so far."""

    __slots__ = (
        "counts", "dead", "dead_rows", "input_count", "input_values", "looked", "rows",
        "saturated", "saturated_rows", "values",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.counts: list[int] = []
        self.looked: list[int] = []
        self.saturated_rows: list[int] = []
        self.dead_rows: list[int] = []
        self.input_count = 0
        self.values: list[Tensor] = []
        self.saturated: list[Tensor] = []
        self.dead: list[Tensor] = []
        self.input_values: list[Tensor] = []


class ModuleWatch:
    """Collects statistics of module outputs during the first forward pass of a step.

    Holds neither the model nor any of its activations: names, rows and the 0-d results only.
    """

    def __init__(
        self,
        model: nn.Module,
        report: Callable[[str], None],
        hooked: bool = True,
        first: bool = True,
    ) -> None:
        """``hooked``: whether to look at outputs at all, not only at names and kinds.

        ``first``: whether to describe the input of the first module with weights, which one
        rank's file does.
        """
        self._looks_at_input = first
        self._input_due = False
        self.names: list[str] = []
        self.kinds: list[str] = []
        self.order: list[int] = []
        """Modules in the order of their first execution: row -> index of the module."""
        self.followed_by: dict[int, str] = {}
        self.version = 0
        """Grows whenever ``order`` or ``followed_by`` change."""
        self._row: dict[int, int] = {}
        self._report = report
        self._broken: set[int] = set()
        self._active = False
        self._seen: set[int] = set()
        self._first = self._previous = -1
        self._taken = _Taken()
        self._units = Silence()
        self._before = ""
        self._known = Known()
        self._hooked = hooked
        self._with_weights: list[bool] = []
        self._silent = 0
        self._vanished = ""
        self._handles = []
        for index, (name, module) in enumerate(leaves(model)):
            self.names.append(name)
            self.kinds.append(kind_of(module))
            self._with_weights.append(multiplies(module))
            if not hooked:
                continue
            try:
                hook = Callback(_Forward(self, index))
                self._handles.append(module.register_forward_hook(hook))
            except Exception as error:  # some scripted modules take no hooks
                report(f"module {name}: {type(error).__name__}: {error}")

    def begin(self) -> None:
        """Look at the coming step."""
        self._active = True
        self._input_due = self._looks_at_input
        self._seen.clear()
        self._first = self._previous = -1
        self._taken = _Taken()

    def end(self) -> Activations:
        """Stop looking; what was seen."""
        taken, self._taken = self._taken, _Taken()
        self._active = False
        index = self._known.index
        return Activations(
            rows=index("rows", taken.rows),
            counts=index("counts", taken.counts, torch.float32),
            looked=index("looked", taken.looked, torch.float32),
            saturated_rows=index("saturated", taken.saturated_rows),
            dead_rows=index("dead", taken.dead_rows),
            input_count=taken.input_count,
            values=[*taken.values, *taken.saturated, *taken.dead, *taken.input_values],
        )

    def said(self, ran: bool, step: int, patience: int) -> str:
        """What is to be said of hooks that do not fire, given whether any did in this step.

        torch.compile leaves hooks out without a word: from the first step, or from the one at
        which it came. A step without forward pass is no proof of that, ``patience`` of them in a
        row are.
        """
        if not self._hooked:
            return "not asked for"
        self._silent = 0 if ran else self._silent + 1
        if ran:
            self._vanished = ""
        elif not self.order:
            self._vanished = "unavailable: no forward hook has fired (compiled model?)"
        elif self._silent == patience:
            since = f"no forward hook has fired since step {step - patience + 1}"
            self._vanished = f"unavailable: {since} (compiled model?)"
            self._report(f"module outputs: {since}; was the model compiled?")
        return self._vanished

    def remove(self) -> None:
        """Take the hooks off the model."""
        self._active = False
        for handle in self._handles:
            handle.remove()

    def see(self, index: int, module: nn.Module, inputs: Any, output: Any) -> None:
        """One module has run. Never raises; a module that fails is not looked at again."""
        if not self._active or index in self._broken or not module.training:
            return
        # A recomputation for the backward pass (activation checkpointing), not a forward pass.
        if torch._C._current_graph_task_id() != -1 or torch._C._is_tracing() or capturing():
            return
        try:
            with torch.no_grad():
                self._trace(index, module)
                if index not in self._seen:
                    self._seen.add(index)
                    self._measure(index, module, inputs, output)
        except Exception as error:  # nothing of ours may end a training run
            self._broken.add(index)
            self._report(f"module {self.names[index]}: {type(error).__name__}: {error}")

    def _trace(self, index: int, module: nn.Module) -> None:
        """Which activation ran right after which module, within one forward pass."""
        if self._first < 0:
            self._first = index
        if index == self._first:
            self._previous = -1
        previous, self._previous = self._previous, index
        self._before = "" if previous < 0 else self.kinds[previous]
        unknown = previous not in (-1, index) and previous not in self.followed_by
        if unknown and isinstance(module, ACTIVATIONS):
            self.followed_by[previous] = f"{self.names[index]}:{self.kinds[index]}"
            self.version += 1

    def _measure(self, index: int, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._input_due and self._with_weights[index]:
            self._input_due = False
            self._measure_input(inputs)
        found = first_usable(output)
        if found is None:
            return
        few = sample(found, SAMPLED)
        lowest, highest = torch.aminmax(found)
        # At least float32: half precision overflows at 65504, and autocast would choose bfloat16.
        wide = torch.promote_types(found.dtype, torch.float32)
        values = (
            found.sum(dtype=wide),
            torch.linalg.vector_norm(found, 2, dtype=wide),
            lowest,
            highest,
            torch.count_nonzero(few),
        )
        fraction = saturated(module, found)
        dead = self._units.dead(index, module, found, self._before)
        # Only now that nothing can fail any more: a row is there as a whole or not at all.
        row = self._row_of(index)
        taken = self._taken
        taken.values.extend(values)
        taken.rows.append(row)
        taken.counts.append(found.numel())
        taken.looked.append(few.numel())
        if fraction is not None:
            taken.saturated_rows.append(row)
            taken.saturated.append(fraction)
        if dead is not None:
            taken.dead_rows.append(row)
            taken.dead.append(dead)

    def _measure_input(self, inputs: Any) -> None:
        found = usable(inputs[0]) if inputs else None
        if found is None:
            return
        lowest, highest = torch.aminmax(found)
        wide = torch.promote_types(found.dtype, torch.float32)
        # Two passes over a sample: sums of squares lose the spread of inputs far from zero.
        spread = sample(found, INPUT_SAMPLED).to(wide).std(correction=0)
        self._taken.input_count = found.numel()
        self._taken.input_values = [found.sum(dtype=wide), lowest, highest, spread]

    def _row_of(self, index: int) -> int:
        row = self._row.get(index)
        if row is None:
            row = self._row[index] = len(self.order)
            self.order.append(index)
            self.version += 1
        return row


class _Forward:
    """Tells the watch which of its modules has run."""

    __slots__ = ("_index", "_watch")

    def __init__(self, watch: ModuleWatch, index: int) -> None:
        self._watch = watch
        self._index = index

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._watch.see(self._index, module, inputs, output)
