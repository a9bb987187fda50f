"""The gradient's norm from before it was clipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from monitor.hook import seams

TAG = "health/grad_norm_before_clipping"


class Clipping:
    """Overhears ``torch.nn.utils.clip_grad_norm_``, which computes the norm anyway.

    What is clipped by other means (by value, by hand, inside DeepSpeed) is not seen, and neither
    are norms other than the 2-norm. Nor is a sharded gradient's: its whole norm would need every
    rank to take part.
    """

    def __init__(self, ours: Callable[[object], bool]) -> None:
        self._ours = ours
        self._latest: Tensor | None = None
        self._norms: list[Tensor] = []
        self._active = False
        self._leave: tuple[Callable[[], None], ...] = ()
        if seams.TOTAL_NORM.there and seams.CLIP.there:
            self._leave = (
                seams.TOTAL_NORM.listen(self._on_norm),
                seams.CLIP.listen(self._on_clip),
            )

    @property
    def available(self) -> bool:
        """Whether this torch lets it be overheard (2.5 or later)."""
        return bool(self._leave)

    def begin(self, active: bool) -> None:
        """A new step begins; listen if ``active``."""
        self._active = active
        self._latest = None
        self._norms = []

    def norm(self) -> Tensor | None:
        """0-d: the norm of all gradients that were clipped in this step, before; None if none."""
        norms, self._norms = self._norms, []
        if not norms:
            return None
        return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))

    def remove(self) -> None:
        """Stop listening."""
        for leave in self._leave:
            leave()

    def _on_norm(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Any], None]:
        kind = args[1] if len(args) > 1 else kwargs.get("norm_type", 2.0)
        return self._remember if self._active and kind in (2, "2") else _nothing

    def _remember(self, norm: Any) -> None:
        self._latest = norm if type(norm) is Tensor else None

    def _on_clip(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        latest, self._latest = self._latest, None
        total: object = args[2] if len(args) > 2 else kwargs.get("total_norm")
        if not self._active or latest is None or total is not latest:
            return
        parameters = args[0] if args else kwargs.get("parameters")
        if any(map(self._ours, parameters if isinstance(parameters, list) else (parameters,))):
            self._norms.append(latest.detach().reshape(()).clone())


def _nothing(_result: Any) -> None:
    return None
