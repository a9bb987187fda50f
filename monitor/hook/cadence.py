"""Which steps to look at. Pure: knows no tensor, no clock and no thread."""

from __future__ import annotations

import math
import statistics
from collections import deque

WARMUP = 20
"""Steps at the start that are always looked at: most runs that die of bad settings die here."""

CLOSE_LOOK = 5
"""Steps in a row to look at after something turned bad."""

WIDEST = 1000
"""Steps between looks at most, whatever a look costs."""

SETTLED = 10
"""The first steps of a run, slow in themselves, say nothing about time."""

MARGIN = 1.2
"""The cost of a look is taken to be so much higher than it was measured."""

_ENOUGH = 8
_WINDOW = 16
_EXPLOSION = 10.0
_MEMORY = 0.2


class Cadence:
    """Says for one step after the other whether it is looked at: the first 20, then every k-th.

    ``budget``: the share of training time that looking may cost. Where ``every`` would cost
    more, k grows; it shrinks again, never below ``every``, once half of it would do.
    ``doubling``: k grows by doubling only, so that ranks that decide alone still share steps.
    """

    def __init__(
        self,
        every: int,
        budget: float = math.inf,
        warmup: int = WARMUP,
        doubling: bool = False,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        if not budget > 0:
            raise ValueError(f"budget must be a positive share of the step time, not {budget}")
        self.every = every
        """k: the present distance between looks, in steps."""
        self._least = every
        self._doubling = doubling
        self._budget = budget
        self._warmup = warmup
        self._count = 0
        self._urgent = 0
        self._looked: deque[float] = deque(maxlen=_WINDOW)
        self._other: deque[float] = deque(maxlen=_WINDOW)

    def spent(self, seconds: float, looked: bool) -> None:
        """The step just over took so long; NaN if that is not known.

        Medians, because an evaluation or a checkpoint falls into some steps. What the looks of
        the warm-up cost counts too, so that the first verdict is there eight steps after it.
        """
        if self._count <= min(SETTLED, self._warmup) + 1 or math.isnan(seconds):
            return
        (self._looked if looked else self._other).append(seconds)
        if min(len(self._looked), len(self._other)) < _ENOUGH:
            return
        typical = statistics.median(self._other)
        cost = MARGIN * (statistics.median(self._looked) - typical)
        share = self._budget * typical
        if not share > 0:
            return
        widest = max(WIDEST, self._least)
        needed = max(self._least, math.ceil(min(cost / share, widest)))
        if self._doubling:
            needed = self._least << math.ceil(math.log2(needed / self._least))
        if needed > self.every or 2 * needed < self.every:
            self.every = needed
            self._looked.clear()  # let the next change wait for new evidence

    def advance(self) -> bool:
        """Whether the coming step is looked at; call it once a step."""
        step = self._count
        self._count += 1
        if self._urgent > 0:
            self._urgent -= 1
            return True
        return step < self._warmup or step % self.every == 0

    def alarm(self) -> None:
        """Look at the next few steps too. The writer's thread calls this: one plain store."""
        self._urgent = CLOSE_LOOK


class Unrest:
    """Notices when a run turns bad: the first non-finite value, or a gradient that jumps.

    Only the turn counts. A run that stays bad would otherwise be looked at in every step for
    ever, and pay for it.
    """

    def __init__(self) -> None:
        self._typical = math.nan
        self._bad = False

    def sees(self, grad_norm: float, nonfinite: bool) -> bool:
        """Whether this step, given its global gradient norm (NaN: unknown), is such a turn."""
        exploding = grad_norm > _EXPLOSION * self._typical
        bad = nonfinite or exploding
        turned = bad and not self._bad
        self._bad = bad
        if math.isfinite(grad_norm) and not nonfinite:
            known = not math.isnan(self._typical)
            step = grad_norm - self._typical if known else 0.0
            self._typical = self._typical + _MEMORY * step if known else grad_norm
        return turned
