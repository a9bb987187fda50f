"""Units that have died: ReLU channels that were zero for every input of many looks in a row.

A layer that is 95 % zeros may be well: each unit speaks for a few inputs only. It is sick where
the same units are silent whatever comes, or where for most inputs none of all its units speaks, so
that nothing of these inputs gets through. Only a memory tells that from a chance: for each
channel, how many looks in a row it has been silent; for each look, how many inputs met silence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LOOKS = 10
"""Looks in a row for which a unit must be silent to count as dead, and"""

INPUTS = 500
"""inputs in a row: of single inputs, a unit that is silent for ten may be well."""

NARROW = 8
"""Channels below which all of them may be silent by chance."""

MET = 64
"""Inputs of a look that are asked whether any unit speaks."""

READ = 262_144
"""Elements of an output that are read, about: every k-th input of a large batch."""

_RECTIFIERS = (nn.ReLU, nn.ReLU6)
_CHANNELS_SECOND = ("conv", "batchnorm", "groupnorm", "instancenorm", "pool")


class Silence:
    """For how many inputs in a row each channel of each rectifier has been silent, and for how
    many inputs of each of the last looks all of them were.
    """

    def __init__(self) -> None:
        self._idle: dict[int, Tensor] = {}
        self._seen: dict[int, int] = {}
        self._mute: dict[int, list[Tensor]] = {}

    def dead(self, index: int, module: nn.Module, output: Tensor, after: str) -> Tensor | None:
        """0-d: the part of the channels that are dead, or of the inputs that met nothing but
        silence in each of the last looks, whichever is greater; None if moot or too early to say.

        ``after``: the kind of the module that ran before this one, which tells where the
        channels are. Waits for no device.
        """
        if not isinstance(module, _RECTIFIERS) or output.ndim < 2:
            return None
        inputs = by_input(output, after)
        units, layer = self._units(index, inputs), self._layer(index, inputs)
        if units is None or layer is None:
            return layer if units is None else units
        return torch.maximum(units, layer)

    def _units(self, index: int, inputs: Tensor) -> Tensor | None:
        """The part of the channels that no input has reached for long."""
        loudest = inputs.amax(dim=[d for d in range(inputs.ndim) if d != 1])
        idle = self._idle.get(index)
        if idle is None or idle.shape != loudest.shape or idle.device != loudest.device:
            idle = torch.zeros_like(loudest, dtype=torch.float32)
            self._seen[index] = 0
            self._mute.pop(index, None)
        count = inputs.shape[0]
        # NaN is not silent.
        idle = torch.where(loudest == 0, idle + count, torch.zeros_like(idle))
        self._idle[index] = idle
        self._seen[index] += count
        enough = max(INPUTS, LOOKS * count)
        return (idle >= enough).float().mean() if self._seen[index] >= enough else None

    def _layer(self, index: int, inputs: Tensor) -> Tensor | None:
        """The least part of a look's inputs, over the last looks, that met silence only."""
        if inputs.shape[1] < NARROW:
            return None
        few = inputs[:: -(-inputs.shape[0] // MET)]
        loudest = few.amax(dim=list(range(1, few.ndim)))
        looks = [*self._mute.get(index, [])[1 - LOOKS :], (loudest == 0).float().mean()]
        self._mute[index] = looks
        return torch.stack(looks).amin() if len(looks) == LOOKS else None


def by_input(output: Tensor, after: str) -> Tensor:
    """A view [n, C] or [n, C, ...]: inputs spread evenly over the batch, tokens if there are."""
    second = output.ndim > 2 and any(word in after.lower() for word in _CHANNELS_SECOND)
    if not second and (output.ndim < 4 or "linear" in after.lower()):
        output = output.reshape(-1, output.shape[-1])
    return output[:: -(-output.numel() // READ)]
