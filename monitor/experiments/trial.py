"""What every check is given: copies of model and batch, and the time that is left."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from monitor.experiments.axes import Layout
from monitor.experiments.guard import seed
from monitor.experiments.report import Unknown
from monitor.experiments.script import Pass, Script, is_scalar
from monitor.experiments.trees import cloned

SEED = 0
"""Every replica starts from the same random numbers: a preflight's answer is repeatable."""


@dataclass(slots=True)
class Replica:
    """A copy of the model and of the loss, to be used up."""

    model: nn.Module
    script: Script

    def run(self, batch: Any) -> Pass:
        """Forward pass and loss on a copy of ``batch``, which a model may change in place."""
        return self.script.run(self.model, cloned(batch))

    def loss(self, batch: Any) -> Tensor:
        """The loss, a scalar that hangs together with the parameters; else Unknown."""
        loss = self.run(batch).loss
        if not is_scalar(loss) or not loss.requires_grad:
            raise Unknown("the loss cannot be differentiated (see first_pass)")
        assert isinstance(loss, Tensor)
        return loss.reshape(())

    def trained(self) -> list[nn.Parameter]:
        """The parameters that training would change, each once."""
        every = [*self.model.parameters(), *self.script.parameters()]
        return list({id(p): p for p in every if p.requires_grad}.values())


@dataclass(slots=True)
class Trial:
    """One preflight. ``pristine`` is a copy of the caller's model that nothing runs on."""

    pristine: nn.Module
    script: Script
    batch: Any
    deadline: float
    layout: Layout | None = None
    blocked: str = ""
    """Why checks that need a loss cannot run, once that is known."""
    silent: bool = False
    """Whether some gradient is exactly zero, which may be why no output depends on its input."""
    first: Pass | None = field(default=None, repr=False)
    """The first forward pass in training mode; None before it or if it failed."""

    def replica(self, *, train: bool = True) -> Replica:
        """A fresh copy in training or evaluation mode, with the random numbers set back."""
        seed(SEED)
        model = copy.deepcopy(self.pristine)
        if train:
            # As the script has it: a frozen backbone may be in evaluation mode on purpose.
            if not any(module.training for module in model.modules()):
                model.train()
        else:
            model.eval()
        return Replica(model, self.script.fresh())

    def needs_loss(self) -> Pass:
        """The first pass; Unknown if there is no loss to train with."""
        if self.first is None or self.blocked:
            raise Unknown(self.blocked or "the model does not run on this batch")
        return self.first

    def left(self) -> float:
        """Seconds until the time is up; negative afterwards."""
        return self.deadline - time.monotonic()
