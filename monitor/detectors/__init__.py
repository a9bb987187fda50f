"""What can be wrong with a run: one detector a file, and the registry of them all."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from monitor.detectors.base import (
    CurveDetector,
    Detector,
    FoldDetector,
    PulseDetector,
    WindowDetector,
)
from monitor.detectors.divergence import Divergence
from monitor.detectors.early_decay import EarlyDecay
from monitor.detectors.exploding_gradient import ExplodingGradient
from monitor.detectors.expression import Expression
from monitor.detectors.loss_spike import LossSpike
from monitor.detectors.nonfinite import NonFinite
from monitor.detectors.not_learning import NotLearning
from monitor.detectors.oscillation import Oscillation
from monitor.detectors.overfitting import Overfitting
from monitor.detectors.plateau import Plateau
from monitor.detectors.slow_learning import SlowLearning
from monitor.detectors.stalled import Stalled
from monitor.detectors.threshold import Threshold
from monitor.detectors.throughput_drop import ThroughputDrop
from monitor.detectors.vanishing_gradient import VanishingGradient

__all__ = [
    "DETECTORS",
    "CurveDetector",
    "Detector",
    "FoldDetector",
    "PulseDetector",
    "WindowDetector",
]

_ALL: tuple[type, ...] = (
    NonFinite,
    Divergence,
    Oscillation,
    Plateau,
    LossSpike,
    SlowLearning,
    NotLearning,
    EarlyDecay,
    Overfitting,
    ThroughputDrop,
    Stalled,
    VanishingGradient,
    ExplodingGradient,
    Threshold,
    Expression,
)

DETECTORS: Mapping[str, type] = MappingProxyType({kind.name: kind for kind in _ALL})  # type: ignore[attr-defined]
"""By the name that rule files use."""
