"""Parameters: norms of weights, gradients and updates around an optimizer's step."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from monitor.hook.drift import Drift
from monitor.hook.index import Index, Known
from monitor.hook.modules import kind_of
from monitor.hook.shards import copies, world_size
from monitor.hook.symmetry import COMPARED, of_equal_units
from monitor.hook.symmetry import TAG as EQUAL_UNITS
from monitor.hook.tensors import sample, usable, usable_gradient

SAMPLED = 4096
"""Elements per parameter from which its update is estimated (error 2.7 %; with 256, 29 %)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One trainable parameter; does not keep it alive."""

    name: str
    owner: str
    """Name of the module it belongs to."""
    kind: str
    """Class of that module."""
    shape: tuple[int, ...]
    copies: int
    """Ranks that hold the same piece of it."""
    ref: weakref.ref[nn.Parameter]


_NONE = Index(())


@dataclass(slots=True)
class Norms:
    """What one optimizer's step left on the device, yet to be copied.

    The indices say which parameter each 0-d tensor belongs to. ``scale`` is there if the
    gradients are still multiplied by a loss scale (fused optimizers), ``skipped`` (1 or 0) if the
    device may have skipped this step because some gradient was not finite.
    """

    weights: Index = _NONE
    weight_norms: list[Tensor] = field(default_factory=list)
    grads: Index = _NONE
    grad_norms: list[Tensor] = field(default_factory=list)
    lowest: list[Tensor] = field(default_factory=list)
    highest: list[Tensor] = field(default_factory=list)
    updates: Index = _NONE
    update_norms: list[Tensor] = field(default_factory=list)
    update_factors: Index = _NONE
    """From the norm of the sampled differences to that of the whole update."""
    scale: list[Tensor] = field(default_factory=list)
    skipped: list[Tensor] = field(default_factory=list)

    def tensors(self) -> list[Tensor]:
        """All 0-d tensors, in the order that :class:`monitor.hook.frames` reads."""
        return [
            *self.weight_norms,
            *self.grad_norms,
            *self.lowest,
            *self.highest,
            *self.update_norms,
            *self.scale,
            *self.skipped,
        ]


def find(model: nn.Module, looked_at: Iterable[tuple[str, str]]) -> list[Parameter]:
    """The trainable parameters of ``model``, shared ones once, in ``named_parameters`` order.

    ``looked_at``: (name, kind) of the modules with a row of their own; a parameter inside one of
    them, however deep (attention, parametrizations), belongs to it.
    """
    rows, ranks = dict(looked_at), world_size()
    found = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or nn.parameter.is_lazy(parameter):
            continue
        direct = name.rpartition(".")[0]
        owner = direct
        while owner not in rows and owner:
            owner = owner.rpartition(".")[0]
        if owner not in rows:
            owner = direct
        kind = rows.get(owner) or kind_of(model.get_submodule(owner))
        shape = tuple(parameter.shape)
        held = copies(parameter, ranks)
        found.append(Parameter(name, owner, kind, shape, held, weakref.ref(parameter)))
    return found


class ParameterWatch:
    """Measures weights and gradients before, and updates after, each optimizer's step.

    Every optimizer has a share of the parameters: its own, and the last one those of none.
    """

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.version = 0
        """Grows whenever ``parameters`` changes."""
        self._frozen: list[bool] = []
        self._every: list[weakref.ref[nn.Parameter]] = []
        self._ids: frozenset[int] = frozenset()
        self._shares: list[list[int]] = [[]]
        self._groups: list[int] = []
        self._before: dict[torch.device, tuple[list[int], Tensor]] = {}
        self._norms: dict[int, Norms] = {}
        self._known = Known()
        self._drift = Drift()
        self._compared: Counter[int] = Counter()
        """How often the units of a share have been compared."""
        self._alike: list[Tensor] = []

    def owns(self, parameter: object) -> bool:
        """Whether ``parameter`` is one of the model's."""
        return id(parameter) in self._ids

    def refresh(
        self,
        model: nn.Module | None,
        looked_at: Iterable[tuple[str, str]],
        optimizers: Sequence[Optimizer],
    ) -> None:
        """Find the parameters anew if some were frozen, thawed or replaced since last time."""
        flags = [p is None or not p.requires_grad for p in (ref() for ref in self._every)]
        gone = any(ref() is None for ref in self._every)
        changed = model is not None and (not self._every or flags != self._frozen or gone)
        if changed and model is not None:
            everything = list(model.parameters())
            self._every = [weakref.ref(p) for p in everything]
            self._frozen = [not p.requires_grad for p in everything]
            self._ids = frozenset(map(id, everything))
            self.parameters = find(model, looked_at)
            self.version += 1
        groups = [len(group["params"]) for opt in optimizers for group in opt.param_groups]
        if changed or groups != self._groups:
            self._groups = groups
            self._shares = shares(self.parameters, optimizers)

    def before(self, share: int, scale: object = None, found_inf: object = None) -> None:
        """Weights and gradients as optimizer number ``share`` will see them.

        ``scale`` and ``found_inf``: what a ``GradScaler`` tells a fused optimizer.
        """
        norms = self._norms[share] = Norms()
        groups = self._weights(share)
        weights = [i for indices, _ in groups.values() for i in indices]
        norms.weights = self._known.index(("weights", share), weights)
        norms.weight_norms = [n for _, tensors in groups.values() for n in two_norms(tensors)]
        self.measure_gradients(share)
        self._drift.see(weights, norms.weight_norms, norms.grads.items)
        # Cloned, since the scaler changes them in place.
        for told, into in ((scale, norms.scale), (found_inf, norms.skipped)):
            found = usable(told)
            if found is not None and found.numel() == 1:
                into.append(found.reshape(()).clone())
        self._before = {device: (i, _samples(tensors)) for device, (i, tensors) in groups.items()}

    def after(self, share: int) -> None:
        """The updates that the step of optimizer number ``share`` made."""
        norms = self._norms.get(share)
        if norms is None:
            return
        updates: list[int] = []
        factors: list[float] = []
        now = self._weights(share)
        for device, (indices, old) in self._before.items():
            again, weights = now.get(device, ([], []))
            if again != indices:
                continue  # moved or replaced in between
            new = _samples(weights)
            if new.shape != old.shape:
                continue
            sizes = [sample(w, SAMPLED).numel() for w in weights]
            updates += indices
            found = two_norms(list(torch.split(new - old, sizes)))
            norms.update_norms += self._drift.known(indices, found)
            factors += [(w.numel() / size) ** 0.5 for w, size in zip(weights, sizes, strict=True)]
        norms.updates = self._known.index(("updates", share), updates)
        norms.update_factors = self._known.index(("factors", share), factors, torch.float32)
        self._before = {}

    def compare(self, share: int) -> None:
        """How many layers of optimizer number ``share`` have units that are all alike.

        Only at first; more than once, since behind a layer of zeros there is no gradient yet.
        """
        if self._compared[share] >= COMPARED:
            return
        self._compared[share] += 1
        found = of_equal_units(self._with_gradients(share))
        if found is not None:
            self._alike.append(found)

    def compared(self) -> dict[str, Tensor]:
        """Tag -> 0-d tensor that may be on a device: what was found since last time."""
        found, self._alike = self._alike, []
        if not found:
            return {}
        return {EQUAL_UNITS: torch.stack([one.to(found[0].device) for one in found]).sum().float()}

    def taken(self) -> tuple[Norms, ...]:
        """All that was measured since last time: one entry per optimizer that has stepped."""
        norms, self._norms, self._before = self._norms, {}, {}
        return tuple(norms.values())

    def _weights(self, share: int) -> dict[torch.device, tuple[list[int], list[Tensor]]]:
        """Per device: indices and tensors of the parameters that can be read."""
        groups: dict[torch.device, tuple[list[int], list[Tensor]]] = {}
        for i in self._shares[share]:
            weight = usable(self.parameters[i].ref())
            if weight is not None:
                indices, weights = groups.setdefault(weight.device, ([], []))
                indices.append(i)
                weights.append(weight)
        return groups

    def _with_gradients(self, share: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Kind of the module, weight and gradient of each parameter of which both can be read."""
        for i in self._shares[share]:
            alive = self.parameters[i].ref()
            weight = usable(alive)
            grad = None if alive is None else usable(alive.grad)
            if weight is not None and grad is not None:
                yield self.parameters[i].kind, weight, grad

    def measure_gradients(self, share: int) -> None:
        """Gradients as they are now, in place of those measured before."""
        norms = self._norms[share]
        norms.grad_norms, norms.lowest, norms.highest = [], [], []
        groups: dict[torch.device, tuple[list[int], list[Tensor]]] = {}
        for i in self._shares[share]:
            alive = self.parameters[i].ref()
            grad = None if alive is None else usable_gradient(alive.grad)
            if grad is not None:
                indices, grads = groups.setdefault(grad.device, ([], []))
                indices.append(i)
                grads.append(grad)
        found = [i for indices, _ in groups.values() for i in indices]
        norms.grads = self._known.index(("grads", share), found)
        for _, grads in groups.values():
            norms.grad_norms += two_norms(grads)
            for grad in grads:
                # aminmax is the exact sign of non-finite values: it carries NaN along and cannot
                # overflow, which a norm of large finite values can.
                lowest, highest = torch.aminmax(grad)
                norms.lowest.append(lowest)
                norms.highest.append(highest)


def shares(parameters: Sequence[Parameter], optimizers: Sequence[Optimizer]) -> list[list[int]]:
    """Per optimizer: indices of ``parameters`` that it steps; the last takes those of none."""
    if len(optimizers) < 2:
        return [list(range(len(parameters)))]
    owner = {
        id(parameter): i
        for i, optimizer in enumerate(optimizers)
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    found: list[list[int]] = [[] for _ in optimizers]
    for i, parameter in enumerate(parameters):
        found[owner.get(id(parameter.ref()), len(optimizers) - 1)].append(i)
    return found


def two_norms(tensors: list[Tensor]) -> list[Tensor]:
    """The 2-norm of each tensor, in at least single precision."""
    double = any(tensor.dtype is torch.float64 for tensor in tensors)
    return list(torch._foreach_norm(tensors, 2, torch.float64 if double else torch.float32))


def _samples(weights: list[Tensor]) -> Tensor:
    """The sampled elements of all weights in one new tensor."""
    return torch.cat([sample(w, SAMPLED) for w in weights])
