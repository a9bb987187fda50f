"""Nothing of the caller's changes: random numbers, modes, weights, gradients."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Puts back the state of torch's generators (all devices), Python's, and numpy's if loaded."""
    pairs: list[tuple[Callable[[Any], object], Any]] = [
        (torch.set_rng_state, torch.get_rng_state()),
        (random.setstate, random.getstate()),
    ]
    # Asked only where it runs: looking at a device that is asleep would start it.
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        pairs.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    if torch.backends.mps.is_available():
        pairs.append((torch.mps.set_rng_state, torch.mps.get_rng_state()))
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        pairs.append((numpy.random.set_state, numpy.random.get_state()))
    try:
        yield
    finally:
        for put_back, state in pairs:
            put_back(state)


def seed(number: int) -> None:
    """Seeds torch's generators on the CPU and on devices that are in use.

    ``torch.manual_seed`` would also note the number for devices that are asleep, which then wake
    up with it in the place of the caller's.
    """
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(number)


@contextmanager
def kept(model: nn.Module, pristine: nn.Module) -> Iterator[None]:
    """Puts ``model`` back as it was, ``pristine`` being a copy made before.

    Everything runs on copies, so there is something to put back only where the script's own
    functions reach for the model by another way, such as a global variable.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(p, p.requires_grad) for p in model.parameters()]
    gradients = [
        (p, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            _copy_back(list(model.parameters()), list(pristine.parameters()))
            _copy_back(list(model.buffers()), list(pristine.buffers()))
            for parameter, gradient, values in gradients:
                parameter.grad = gradient
                if gradient is not None and values is not None:
                    _copy_back([gradient], [values])
        for module, training in modes:
            module.training = training
        for parameter, wants in wanted:
            parameter.requires_grad_(wants)


def _copy_back(now: list[Tensor], before: list[Tensor]) -> None:
    for mine, its in zip(now, before, strict=True):
        if not torch.equal(mine, its):
            mine.data.copy_(its)


@contextmanager
def modes_kept() -> Iterator[None]:
    """Gradients on, whatever the caller's mode, and no autocast cache of weights, which would
    keep those of before an optimizer's step; both are back afterwards.
    """
    caching = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        torch.set_autocast_cache_enabled(caching)


def plain(model: nn.Module) -> nn.Module:
    """The model inside wrappers that cannot be copied or skip hooks: DDP, DataParallel, compile."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inner = model.module if isinstance(model, wrappers) else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner
