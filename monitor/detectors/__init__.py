"""What can be wrong with a run: one detector a file, and the registry of them all."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from monitor.detectors.bad_init import BadInit
from monitor.detectors.bad_init_hidden_by_norm import BadInitHiddenByNorm
from monitor.detectors.base import (
    CurveDetector,
    Detector,
    FoldDetector,
    PulseDetector,
    WindowDetector,
)
from monitor.detectors.dead_units import DeadUnits
from monitor.detectors.divergence import Divergence
from monitor.detectors.early_decay import EarlyDecay
from monitor.detectors.exploding_gradient import ExplodingGradient
from monitor.detectors.expression import Expression
from monitor.detectors.gradient_noise import GradientNoise
from monitor.detectors.loss_scale_collapse import LossScaleCollapse
from monitor.detectors.loss_spike import LossSpike
from monitor.detectors.model_audit import ModelAudit
from monitor.detectors.nonfinite import NonFinite
from monitor.detectors.not_learning import NotLearning
from monitor.detectors.optimizer_state_lost import OptimizerStateLost
from monitor.detectors.oscillation import Oscillation
from monitor.detectors.overfitting import Overfitting
from monitor.detectors.plateau import Plateau
from monitor.detectors.rank_divergence import RankDivergence
from monitor.detectors.saturated_units import SaturatedUnits
from monitor.detectors.slow_learning import SlowLearning
from monitor.detectors.stalled import Stalled
from monitor.detectors.threshold import Threshold
from monitor.detectors.throughput_drop import ThroughputDrop
from monitor.detectors.unchanged_weights import UnchangedWeights
from monitor.detectors.unnormalised_input import UnnormalisedInput
from monitor.detectors.update_ratio import UpdateRatio
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
    DeadUnits,
    SaturatedUnits,
    BadInit,
    BadInitHiddenByNorm,
    UnnormalisedInput,
    UnchangedWeights,
    UpdateRatio,
    GradientNoise,
    OptimizerStateLost,
    RankDivergence,
    LossScaleCollapse,
    ModelAudit,
    Threshold,
    Expression,
)

DETECTORS: Mapping[str, type] = MappingProxyType({kind.name: kind for kind in _ALL})  # type: ignore[attr-defined]
"""By the name that rule files use."""
