"""What the first predictions cost, beside what guessing would.

A network that knows nothing yet should guess: among K classes that costs ln(K), of a yes or no
ln(2). Where its first scores are so far apart that it is certain of what it cannot know, it costs
many times that, whatever the label is. So the right label's cost and that of any label, in the
mean over all, are both known, and the smaller of them is told: the right label's is small where
there was training before, and large where a margin is asked for (ArcFace); that of any label is
large where there was training before, too. How a script scales, weights or sums its loss does not
matter, since labels and predictions are read off the autograd graph, where cross-entropies keep
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from monitor.hook import seams
from monitor.hook.audit import LOSS_ARITHMETIC
from monitor.hook.graph import operation
from monitor.hook.tensors import capturing, usable

TAG = "health/cost_over_guess"

LOOKS = 6
"""Steps at the start that are looked at; by then it is known what hidden layers do."""

CALLS = 16
"""Calls of ``backward`` that are looked at, whosever loss it is."""

_ELEMENTS = 4_000_000
"""Scores of one cross-entropy that are read: those of the first examples."""

_CRITERIA, _NODES, _DEEP = 64, 1000, 10_000
"""So many cross-entropies of a loss are read, so many operations between the loss and them and
then between them and a parameter are walked: some 2 us each."""


class Guess:
    """Overhears the first losses of a model; keeps neither them nor their graphs.

    ``ours``: whether a parameter is the model's, since another's loss says nothing of it.
    """

    def __init__(self, ours: Callable[[object], bool]) -> None:
        self._ours = ours
        self._left, self._calls = LOOKS, CALLS
        self._found: Tensor | None = None
        self._leave: Callable[[], None] | None = seams.BACKWARD.listen(self._on_backward)

    def taken(self) -> Mapping[str, Tensor]:
        """Tag -> 0-d tensor that may be on a device: of the step that is over, if it had any."""
        found, self._found = self._found, None
        self._left -= 1
        if self._left <= 0:
            self.remove()
        return {} if found is None else {TAG: found}

    def remove(self) -> None:
        """Stop listening."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def _on_backward(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        if self._found is not None or capturing():  # the first of a step's micro-batches will do
            return
        self._calls -= 1
        if self._calls <= 0:
            self.remove()
        with torch.no_grad():
            self._found = over_guess(args[0], self._ours)


def over_guess(loss: Tensor, ours: Callable[[object], bool]) -> Tensor | None:
    """0-d: mean over a loss's cross-entropies of their cost by that of a guess; None without any.

    The mean and not the greatest: an objective may be split into examples that are and that are
    not, the first of which cost much where the bias begins at a small probability on purpose.
    """
    found = [
        told
        for node in _cross_entropies(loss.grad_fn)
        if _reaches(node, ours) and (told := _CRITERION[operation(node)](node)) is not None
    ]
    return torch.stack([one.to(found[0].device) for one in found]).mean() if found else None


def _cross_entropies(root: Any) -> Iterator[Any]:
    """Nodes of the graph in which predictions are held against labels, as the loss meets them."""
    waiting, known, count = [root], {root}, 0
    while waiting and len(known) < _NODES and count < _CRITERIA:
        node = waiting.pop()
        if node is None:
            continue
        kind = operation(node)
        if kind in _CRITERION:
            count += 1
            yield node
        elif kind in LOSS_ARITHMETIC:
            fresh = [below for below, _ in node.next_functions if below not in known]
            known.update(fresh)
            waiting += fresh


def _reaches(node: Any, ours: Callable[[object], bool]) -> bool:
    """Whether one of our parameters is behind it: depth first, since one is enough."""
    waiting, known = [node], {node}
    while waiting and len(known) < _DEEP:
        at = waiting.pop()
        if ours(getattr(at, "variable", None)):
            return True
        fresh = [low for low, _ in at.next_functions if low is not None and low not in known]
        known.update(fresh)
        waiting += fresh
    return False


def _of_classes(node: Any) -> Tensor | None:
    """Of ``nll_loss``: log-probabilities [N, K, ...] and labels [N, ...] or, of one, [K] and []."""
    logs, labels = _whole(node._saved_self), node._saved_target
    if logs is None or type(labels) is not Tensor or labels.ndim not in (0, logs.ndim - 1):
        return None
    if logs.ndim == 1:
        logs, labels = logs[None], labels.reshape(1)
    logs = _first(logs)
    labels = labels[: len(logs)]
    classes = logs.shape[1]
    if classes < 2:
        return None
    ignored = node._saved_ignore_index  # -100, told without its sign
    counts = (labels >= 0) & (labels < classes) & (labels != ignored)
    right = logs.gather(1, labels.clamp(0, classes - 1).unsqueeze(1)).squeeze(1)
    both = torch.stack((right.float(), logs.mean(dim=1, dtype=torch.float32)))
    means = torch.where(counts, -both, 0.0).flatten(1).sum(dim=1) / counts.sum()
    least: Tensor = means.amin()
    return least / math.log(classes)


def _of_binary(node: Any) -> Tensor | None:
    """Of ``binary_cross_entropy_with_logits``, without its weights."""
    scores, labels = _whole(node._saved_self), _whole(node._saved_target)
    if scores is None or labels is None or scores.shape != labels.shape:
        return None
    scores = _first(torch.atleast_1d(scores)).float()
    labels = torch.atleast_1d(labels)[: len(scores)].float()
    right = F.binary_cross_entropy_with_logits(scores, labels)
    either = F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, 0.5))
    return torch.minimum(right, either) / math.log(2)


def _whole(value: Any) -> Tensor | None:
    """``value``, if it can be read and is no piece of what lies on several ranks."""
    return usable(value) if type(value) is Tensor else None


def _first(scores: Tensor) -> Tensor:
    """As many examples as stay within the limit."""
    return scores[: max(1, _ELEMENTS * len(scores) // scores.numel())]


_CRITERION: Mapping[str, Callable[[Any], Tensor | None]] = {
    "NllLoss": _of_classes,
    "NllLoss2D": _of_classes,
    "BinaryCrossEntropyWithLogits": _of_binary,
}
