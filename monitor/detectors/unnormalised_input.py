"""Inputs far from mean 0 and standard deviation 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.detectors.first_steps import in_a_row
from monitor.detectors.robust import check, median, number
from monitor.points import TAG_PREFIX, Evidence, Floats, Verdicts, Window

MEAN, ABSMAX = TAG_PREFIX + "health/input_mean", TAG_PREFIX + "health/input_absmax"
REACH = 2.0
"""Standard deviations beyond the mean that most values lie within."""


@dataclass(frozen=True)
class UnnormalisedInput:
    """The network's input is orders of magnitude away from mean 0 and standard deviation 1.

    Sees the standard deviation of what the first layer with weights is given, and beside it the
    mean and the greatest magnitude (those of the sampled step before: a series is joined with the
    past of others). Bad where, in ``samples`` sampled steps in a row, the root mean square
    sqrt(mean**2 + std**2) is at least ``large``; or the greatest magnitude at most ``small``; or
    that magnitude is both ``tail`` times the root mean square and at least ``tail`` itself.

    Gradients of the first layer are in proportion to its input, so that no learning rate suits it
    and the layers behind it together; a mean far from 0 that all features share makes the loss a
    narrow valley (LeCun et al. 1998, Efficient BackProp, 4.3). The evidence names a C for
    tanh(x / C): the mean's magnitude and two standard deviations, so that most values keep their
    differences and the tail does not blow up.

    Defaults: ``large`` 20: pictures in [0, 255] have 35 (night) to 200, decibels 40, years 2000;
    pictures in [0, 1] 0.6, observations of robots up to 10. ``small`` 0.001: single precision does
    not mind, but biases and initial weights drown it; quiet audio has peaks of 0.01. ``tail`` 1000,
    which one value in a million does not reach by chance, and rare features in [0, 1] do not count.
    ``samples`` 2: what the input is like does not change with training, and what comes of it in the
    first steps (``bad_init``, ``saturated_units``) is to be explained by it.

    Stays quiet: pictures in [0, 1]; standardised inputs with an offset of a few; one-hot, binary
    and sparse features; token ids (integers are not looked at, nor what an embedding gives); nets
    that begin with a normalisation, behind which the hook looks. Misses: one odd feature among
    many that are well; validation inputs that are treated otherwise, which the hook does not see.

    Source: LeCun et al., 1998, Efficient BackProp, 4.3; the article behind the rules (subtract
    the mean, divide by the standard deviation; tanh(x / C) for a wide range).
    """

    large: float = field(
        default=20.0, metadata={"unit": "ratio", "doc": "root mean square that is too large"}
    )
    small: float = field(
        default=1e-3, metadata={"unit": "ratio", "doc": "greatest magnitude that is too small"}
    )
    tail: float = field(
        default=1000.0,
        metadata={"unit": "ratio", "doc": "greatest magnitude over the root mean square"},
    )
    samples: int = field(
        default=2, metadata={"unit": "points", "doc": "sampled steps in a row that must show it"}
    )

    name: ClassVar[str] = "unnormalised_input"
    layered: ClassVar[bool] = False
    context: ClassVar[tuple[str, ...]] = (MEAN, ABSMAX)
    facts: ClassVar[tuple[str, ...]] = ("mean", "std", "c")
    default_match: ClassVar[Mapping[str, str]] = {"tag": "health/input_std"}

    def __post_init__(self) -> None:
        check("large", self.large > 1, "more than 1")
        check("small", 0 < self.small < 1, "between 0 and 1")
        check("tail", self.tail > 1, "more than 1")
        check("samples", self.samples >= 2, "at least 2 sampled steps")

    @property
    def lookback(self) -> int:
        """As many sampled steps as must show it."""
        return self.samples

    def __call__(self, window: Window) -> Verdicts:
        """BAD where all of the last samples are far off, as far as is known."""
        with np.errstate(invalid="ignore", over="ignore"):
            rms, absmax = measured(window)
            sick = (rms >= self.large) | (absmax <= self.small) & (absmax > 0)
            sick |= (absmax >= self.tail * rms) & (absmax >= self.tail)
        known = np.isfinite(rms)
        sick &= known
        if window.index == 0:  # whose mean and magnitude come with the second point
            known[:1] = False
        return Verdicts(in_a_row(window, sick, known, self.samples))

    def explain(self, window: Window) -> Evidence:
        """Mean, standard deviation and greatest magnitude, and a C for tanh(x / C)."""
        mean = float(median(window.context[MEAN]))
        absmax = float(median(window.context[ABSMAX]))
        std = float(median(window.values))
        known_mean = mean if np.isfinite(mean) else 0.0
        c = float(f"{abs(known_mean) + REACH * std:.2g}")
        parts = [f"standard deviation {number(std)}"]
        if np.isfinite(mean):
            parts.insert(0, f"mean {number(mean)}")
        if np.isfinite(absmax):
            parts.append(f"values up to {number(absmax)} in magnitude")
        seen = (
            f"the input of the first layer has {', '.join(parts)} (steps {int(window.steps[0])} to "
            f"{int(window.steps[-1])})"
        )
        facts = {"mean": number(known_mean), "std": number(std), "c": number(c)}
        return Evidence(float(np.hypot(known_mean, std)), seen, int(window.steps[0]), facts=facts)


def measured(window: Window) -> tuple[Floats, Floats]:
    """[T] each: root mean square and greatest magnitude, as of each point.

    Those of the very first point are not known before the second, which then stands for both.
    """
    mean, absmax = window.context[MEAN], window.context[ABSMAX]
    if window.index == 0 and len(mean) > 1:
        mean, absmax = (np.concatenate((past[1:2], past[1:])) for past in (mean, absmax))
    rms: Floats = np.hypot(np.where(np.isfinite(mean), mean, 0.0), window.values)
    return rms, absmax
