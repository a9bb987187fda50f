"""A finding about the model as such, which the hook made when it saw the first loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from monitor.points import LAYER_PREFIX, Evidence, Health, Layers, Verdicts, Window

AS_ADVISED, NOT_AS_ADVISED = 1.0, -1.0
"""The values of the series; NaN where nothing is said of a layer."""

_SAID = {
    "audit_output_activation": "the output of {layers} goes through {about}",
    "audit_missing_bias": "{count} without a bias, and no normalisation after: {layers}",
    "audit_wide_convolution": "{count} with more than 1,024 filters: {layers}",
}
_NAMED = 6


@dataclass(frozen=True)
class ModelAudit:
    """A finding about the model as such, which the hook made when it saw the first loss.

    Sees the series ``layer/audit_<finding>``. The hook looks at a model and at what its first
    losses were computed from, and writes 1 for what is as advised and -1 for each layer that is
    not: an output layer with an activation after it, a layer without a bias, a very wide
    convolution.

    Defaults: there are no parameters. What counts as a finding is decided where the model is, in
    ``monitor.hook.audit``, from the autograd graph; to hear nothing of one, leave its rule out.

    Stays quiet: about what the graph does not show (compiled models, losses of one's own making);
    about layers without a bias before normalisation, in attention, gates and sums, or throughout
    a normalised net; about sigmoid and tanh outputs, which may be meant; about any value but -1.

    Source: practical advice of the article behind the rules (no activation on the output layer, a
    bias in every layer, 64 or 128 filters are mostly plenty); the exceptions are our reasoning.
    """

    name: ClassVar[str] = "model_audit"
    layered: ClassVar[bool] = True
    context: ClassVar[tuple[str, ...]] = ()
    default_match: ClassVar[Mapping[str, str]] = {"stat": "audit_*"}

    @property
    def lookback(self) -> int:
        """Each point speaks for itself."""
        return 1

    def __call__(self, window: Window) -> Verdicts:
        """BAD where a layer is not as advised, OK where all is, UNKNOWN if nothing is said."""
        values = window.values[len(window.steps) - window.new :]
        bad = (values == NOT_AS_ADVISED).any(axis=1)
        good = (values == AS_ADVISED).any(axis=1)
        health = np.where(bad, Health.BAD, np.where(good, Health.OK, Health.UNKNOWN))
        return Verdicts(health.astype(np.int8))

    def explain(self, window: Window) -> Evidence:
        """The layers, with their shapes, and what comes after them."""
        marked = np.flatnonzero(window.values[-1] == NOT_AS_ADVISED)
        step = int(window.steps[-1])
        layers = (window.layers or Layers((), ())).choose(window.values[-1] == NOT_AS_ADVISED)
        named = [_one(layers, i) for i in range(min(_NAMED, len(layers.names)))]
        if len(marked) > _NAMED:
            named.append(f"{len(marked) - _NAMED} more")
        counted = " and ".join(
            f"{n} {kind} layer{'s' if n > 1 else ''}"
            for kind, n in Counter(layers.kinds).most_common()
        )
        template = _SAID.get(window.key.tag.removeprefix(LAYER_PREFIX), "{count}: {layers}")
        seen = template.format(
            layers=" and ".join(filter(None, (", ".join(named[:-1]), *named[-1:]))),
            count=counted,
            about=" and ".join(dict.fromkeys(filter(None, layers.followed_by))) or "an activation",
        )
        return Evidence(float(len(marked)), f"{seen} (seen at step {step})", step, layers.names)


def _one(layers: Layers, i: int) -> str:
    """``head (Linear 10x64)``."""
    shape = "x".join(map(str, layers.shapes[i])) if i < len(layers.shapes) else ""
    return f"{layers.names[i]} ({layers.kinds[i]}{' ' if shape else ''}{shape})"
