"""How a script puts model, batch and loss together: found from the loss function's signature."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Style = Literal["output, target", "model, batch", "output"]
"""What ``loss_fn`` is called with."""

TARGETS = ("target", "targets", "label", "labels", "y")
"""Keys under which a batch that is a mapping keeps its target; the first that is there."""

_MODELS = {"model", "net", "network", "module"}


def style_of(loss_fn: Callable[..., Any]) -> Style:
    """``model, batch`` if the first parameter is called model, net, network or module or is
    annotated as a Module; ``output`` if one argument is all it takes; else ``output, target``.
    """
    try:
        function = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C: torch's own losses take (output, target)
        return "output, target"
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if positional:
        first = positional[0]
        if first.name in _MODELS or "Module" in str(first.annotation):
            return "model, batch"
        if len(positional) == 1 and not several:
            return "output"
    return "output, target"


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass. ``args``, ``kwargs``: what the model was called with first, empty if
    it was not called itself; ``loss``: whatever the script's function returned.
    """

    loss: Any
    output: Any
    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Script:
    """The script's way of going from a batch to a loss."""

    loss_fn: Callable[..., Any]
    style: Style
    forward: Callable[..., Any] | None = None
    autocast: torch.dtype | None = None

    def fresh(self) -> Script:
        """The same with a copy of a loss that is a module, parameters and buffers included."""
        if not isinstance(self.loss_fn, nn.Module):
            return self
        return Script(copy.deepcopy(self.loss_fn), self.style, self.forward, self.autocast)

    def parameters(self) -> list[nn.Parameter]:
        """Those of the loss, which train with the model's."""
        return list(self.loss_fn.parameters()) if isinstance(self.loss_fn, nn.Module) else []

    def run(self, model: nn.Module, batch: Any) -> Pass:
        """Forward pass and loss on ``batch`` as it is: hand in a copy."""
        calls: list[tuple[Any, Any, Any]] = []
        handle = model.register_forward_hook(
            lambda _, args, kwargs, output: calls.append((args, kwargs, output)),
            with_kwargs=True,
        )
        try:
            with autocast(self.autocast, device(model)):
                if self.style == "model, batch":
                    loss, output, target = self.loss_fn(model, batch), None, None
                else:
                    output, target = self._forward(model, batch)
                    loss = (
                        self.loss_fn(output)
                        if self.style == "output"
                        else self.loss_fn(output, target)
                    )
        finally:
            handle.remove()
        args, kwargs, first = calls[0] if calls else ((), {}, None)
        return Pass(loss, first if output is None else output, target, args, kwargs)

    def output(self, model: nn.Module, batch: Any) -> Any:
        """The model's output alone; of several calls the first, None if there was none.

        A loss that cannot be computed is no matter here: in evaluation mode some models hand
        out something else than in training.
        """
        if self.style != "model, batch":
            with autocast(self.autocast, device(model)):
                return self._forward(model, batch)[0]
        calls: list[Any] = []
        handle = model.register_forward_hook(lambda _, __, output: calls.append(output))
        try:
            with autocast(self.autocast, device(model)):
                self.loss_fn(model, batch)
        except Exception:
            if not calls:
                raise
        finally:
            handle.remove()
        return calls[0] if calls else None

    def _forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
        """(output, target)."""
        args, kwargs, target = split(batch, whole=self.style == "output")
        if self.forward is not None:
            return self.forward(model, batch), target
        return model(*args, **kwargs), target


def split(batch: Any, *, whole: bool) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """(positional arguments, keyword arguments, target) of a batch.

    A tensor is input and target (an autoencoder); of a sequence the last item is the target;
    of a mapping the item under one of ``TARGETS``. ``whole``: everything goes to the model.
    """
    if isinstance(batch, Mapping):
        key = next((k for k in TARGETS if k in batch), None)
        if key is None or whole:
            return (), dict(batch), None
        return (), {k: v for k, v in batch.items() if k != key}, batch[key]
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        return (tuple(batch), {}, None) if whole else (tuple(batch[:-1]), {}, batch[-1])
    if isinstance(batch, (tuple, list)) and len(batch) == 1:
        return tuple(batch), {}, batch[0]
    return (batch,), {}, batch


def device(model: nn.Module) -> torch.device:
    """Where the first parameter or buffer lies; the CPU if there is none."""
    first: Tensor | None = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def autocast(dtype: torch.dtype | None, where: torch.device) -> AbstractContextManager[Any]:
    """Autocast to ``dtype``; None leaves it as the caller has it."""
    if dtype is None:
        return nullcontext()
    return torch.autocast(where.type, dtype, cache_enabled=False)


def is_scalar(loss: object) -> bool:
    """Whether ``loss`` is a tensor with one element."""
    return isinstance(loss, Tensor) and loss.numel() == 1
