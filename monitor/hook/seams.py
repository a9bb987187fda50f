"""Functions of torch that offer no hook, wrapped for as long as somebody listens.

Some things that a monitor must know pass through functions without a hook: that a step was
skipped (``GradScaler.step``), the gradient's norm from before it was clipped, and what a loss was
made of. Each is wrapped once for the whole process; arguments, results and errors pass through
untouched.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.nn.utils import clip_grad

try:
    from torch.amp.grad_scaler import GradScaler
except ImportError:  # before torch 2.3
    from torch.cuda.amp.grad_scaler import GradScaler  # type: ignore[assignment]

log = logging.getLogger("monitor.hook")

T = TypeVar("T")

After = Callable[[Any], None]
Listener = Callable[[tuple[Any, ...], dict[str, Any]], After | None]
"""Told the arguments before the call; what it returns is told the result afterwards."""


class Seam:
    """One function, found as ``owner.name``; wrapped while there are listeners."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = owner
        self._name = name
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._wrapper: Callable[..., Any] | None = None
        self._original: Any = None

    @property
    def there(self) -> bool:
        """Whether this torch has the function."""
        return hasattr(self._owner, self._name)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` of every call until what is returned is called."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            if self._wrapper is None and self.there:
                self._original = vars(self._owner)[self._name]
                self._wrapper = self._wrapped(self._original)
                setattr(self._owner, self._name, self._wrapper)
        return functools.partial(self._leave, listener)

    def _leave(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = tuple(known for known in self._listeners if known is not listener)
            # Who wrapped it after us calls ours: then ours stays, and tells nobody.
            unchanged = vars(self._owner).get(self._name) is self._wrapper
            if not self._listeners and self._wrapper is not None and unchanged:
                setattr(self._owner, self._name, self._original)
                self._wrapper = None

    def _wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return original(*args, **kwargs)
            waiting = [self._tell(listener, args, kwargs) for listener in self._listeners]
            result = original(*args, **kwargs)
            for after in waiting:
                if after is not None:
                    self._tell(after, result)
            return result

        return wrapper

    def _tell(self, listener: Callable[..., T], *said: Any) -> T | None:
        try:
            return listener(*said)
        except Exception as error:  # nothing of ours may end a training run
            log.warning("%s is not overheard, training goes on: %s", self._name, error)
            return None


SCALER_STEP = Seam(GradScaler, "step")
"""``GradScaler.step(self, optimizer, ...)``."""

TOTAL_NORM = Seam(clip_grad, "_get_total_norm")
"""What ``clip_grad_norm_`` computes its norm with, however it was imported."""

CLIP = Seam(clip_grad, "_clip_grads_with_norm_")
"""What ``clip_grad_norm_`` then scales the gradients with."""

BACKWARD = Seam(torch.Tensor, "backward")
"""``Tensor.backward(self, ...)``, which nearly every loop calls with its loss."""
