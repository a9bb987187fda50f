"""How many steps an optimizer's own state remembers: after a resume that lost it, one."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.optim import Optimizer

TAG = "health/optimizer_steps"


class Progress:
    """Reads the step counter of each optimizer's state, or counts for those that keep none.

    Momentum buffers count nothing. Where there are none yet before the first step, the state is
    new and its steps can be counted from outside; where there are some, who knows how old they
    are: nothing is said. Nor is it said of optimizers without any state, plain SGD.
    """

    def __init__(self, optimizers: int) -> None:
        self._counted: list[int | None] = [None] * optimizers
        self._begun = [False] * optimizers
        self._told = 0
        self._comparable = True

    def before(self, share: int, optimizer: Optimizer | None) -> None:
        """Optimizer number ``share`` is about to step."""
        if optimizer is not None and not self._begun[share]:
            self._begun[share] = True
            self._counted[share] = None if optimizer.state else 0

    def after(self, share: int) -> None:
        """It has stepped."""
        counted = self._counted[share]
        if counted is not None:
            self._counted[share] = counted + 1

    def told(self) -> None:
        """The script gave the step's number itself."""
        self._told += 1
        # Numbered by batches or by moves in a game, of which some come before the first step of
        # the optimizer: a small count at a great step is no loss then.
        self._comparable = self._comparable and self._told < 2

    def over(self) -> None:
        """A step of all optimizers is over."""
        self._told = 0

    def scalars(
        self, optimizers: Iterable[Optimizer | None]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Tag -> number, and tag -> 0-d tensor that is on a device. Of all optimizers, in order."""
        numbers, tensors = dict[str, float](), dict[str, Tensor]()
        if not self._comparable:
            return numbers, tensors
        for i, (optimizer, counted) in enumerate(zip(optimizers, self._counted, strict=False)):
            tag = f"{TAG}/opt{i}" if len(self._counted) > 1 else TAG
            state = next(iter(optimizer.state.values()), None) if optimizer is not None else None
            if not isinstance(state, dict) or all(value is None for value in state.values()):
                continue
            steps = state.get("step", counted)
            if isinstance(steps, Tensor) and steps.device.type != "cpu":
                tensors[tag] = steps.detach().reshape(()).clone()
            elif steps is not None:
                numbers[tag] = float(steps)
        return numbers, tensors
