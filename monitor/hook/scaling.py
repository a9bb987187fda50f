"""Loss scaling (``GradScaler``): the scale, and the steps that it skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from monitor.hook import seams
from monitor.hook.tensors import usable


class LossScaling:
    """Overhears ``GradScaler.step``.

    Where gradients were infinite the scaler skips the step. Plain and foreach optimizers are then
    not called at all, so that no hook fires; a fused one is called and told on the device
    (``found_inf``), so that it is the device which counts.
    """

    def __init__(self, which: Callable[[object], int], skipped: Callable[[int], None]) -> None:
        """``which``: the number of a watched optimizer, or -1; ``skipped`` is told such one."""
        self.active = False
        """Whether the coming step is looked at."""
        self._which = which
        self._on_skipped = skipped
        self._scale: Tensor | None = None
        self._skipped = 0
        self._skipped_there: Tensor | None = None
        self._stepped = False
        self._seen = False
        self._leave = seams.SCALER_STEP.listen(self._on_scaler)

    def stepped(self, optimizer: Any) -> None:
        """An optimizer's step is over, whether or not a scaler called it; every step."""
        self._stepped = True
        found = usable(getattr(optimizer, "found_inf", None))
        if found is None or found.numel() != 1:
            return
        self._seen = True
        once = found.reshape(()).clamp(max=1)
        if self._skipped_there is None:
            self._skipped_there = once.clone()
        else:
            self._skipped_there.add_(once.to(self._skipped_there.device, non_blocking=True))

    def scalars(self) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Tag -> number, and tag -> 0-d tensor on a device; nothing where no scaler was seen."""
        scale, self._scale = self._scale, None
        numbers, tensors = dict[str, float](), dict[str, Tensor]()
        if not self._seen:
            return numbers, tensors
        if scale is not None:
            tensors["health/loss_scale"] = scale
        if self._skipped_there is None:
            numbers["health/skipped_steps"] = float(self._skipped)
        else:
            tensors["health/skipped_steps"] = self._skipped_there + self._skipped
        return numbers, tensors

    def remove(self) -> None:
        """Stop listening."""
        self._leave()

    def _on_scaler(
        self, args: tuple[Any, ...], _kwargs: dict[str, Any]
    ) -> Callable[[Any], None] | None:
        scaler, optimizer = (*args, None, None)[:2]
        which = self._which(optimizer)
        enabled = getattr(scaler, "_enabled", False)
        if which < 0 or not enabled:
            return None
        self._seen = True
        self._stepped = False
        scale = usable(getattr(scaler, "_scale", None))
        if self.active and scale is not None:
            with torch.no_grad():
                self._scale = scale.reshape(()).clone()  # the scaler updates it in place

        def after(_result: Any) -> None:
            if not self._stepped:
                self._skipped += 1
                self._on_skipped(which)

        return after
