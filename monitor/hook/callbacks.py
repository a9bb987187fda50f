"""Hook objects that survive copying: a copy of a hooked model must not report into our stream."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch


class Callback:
    """A hook for modules and optimizers: deep copies and pickles of it do nothing.

    A bound method or closure would make ``torch.save(model)`` fail on our locks, and an averaged
    copy of the model would write into the stream of the model it was copied from. Returns None
    always: what a hook returns would replace the module's output.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        # First, and as a constant to the compiler: nothing of ours may enter its graphs.
        if torch.compiler.is_compiling():
            return
        self._call(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        # Takes any arguments, does nothing, and comes from the standard library: a saved model
        # opens where this package is not installed.
        return getattr, (contextlib.nullcontext(), "__exit__")
