"""What there is in the zoo: kinds of runs, each a small recipe with the truth about it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.zoo.script import Script

TUNE = (0, 1, 2)
"""Seeds to choose defaults on."""
SCORE = (16, 17, 18)
"""Seeds to quote. Whoever changes a default after looking at these should move them on."""

FILES = (
    "healthy_basics",
    "healthy_rates",
    "healthy_losses",
    "healthy_loops",
    "healthy_networks",
    "healthy_tasks",
    "healthy_courses",
    "healthy_measures",
    "healthy_habits",
    "healthy_branches",
    "healthy_depths",
    "healthy_inputs",
    "healthy_games",
    "healthy_steps",
    "healthy_models",
    "healthy_weights",
    "faulty_numbers",
    "faulty_loss",
    "faulty_progress",
    "faulty_signal",
    "faulty_updates",
    "faulty_clock",
    "faulty_ranks",
    "faulty_leaps",
    "faulty_swings",
    "faulty_learning",
    "faulty_units",
    "faulty_starts",
    "faulty_moves",
    "faulty_layers",
    "faulty_steps",
    "faulty_scalars",
    "faulty_models",
    "faulty_weights",
    "case_study",
)

SEVERITIES = ("info", "warning", "critical")

Recipe = Callable[["Script"], None]


@dataclass(frozen=True)
class Truth:
    """What is to be said of every run of a kind."""

    fault: str = ""
    """The detector whose name the fault has; none: a healthy run."""
    or_else: frozenset[str] = frozenset()
    """Detectors that are as right: the same cause under another name."""
    beside: frozenset[str] = frozenset()
    """Detectors that may speak, too: consequences, which are true, but not the fault."""
    severity: str = "warning"
    """The least severity at which it counts as found."""
    advice: str = ""
    """A regular expression that the advice of what is found has to contain, whatever the case."""

    @property
    def right(self) -> frozenset[str]:
        """Detectors of which one has to speak."""
        return self.or_else | ({self.fault} if self.fault else frozenset())


@dataclass(frozen=True)
class Kind:
    """A kind of run: how one is made, and what is true of it."""

    name: str
    truth: Truth
    recipe: Recipe = field(repr=False)
    hook: bool = True
    """Whether the script attaches the hook, too; else it logs scalars only."""

    @property
    def about(self) -> str:
        """One line: the recipe's first."""
        return (self.recipe.__doc__ or "").strip().split("\n")[0]


_KINDS: dict[str, Kind] = {}


def _register(kind: Kind) -> None:
    if kind.name in _KINDS and _KINDS[kind.name].recipe.__module__ != kind.recipe.__module__:
        raise ValueError(f"two kinds are named {kind.name}")
    _KINDS[kind.name] = kind


def healthy(hook: bool = True, beside: Sequence[str] = ()) -> Callable[[Recipe], Recipe]:
    """A run in which nothing is wrong; ``beside``: what may be said of it nevertheless."""

    def registered(recipe: Recipe) -> Recipe:
        _register(Kind(recipe.__name__, Truth(beside=frozenset(beside)), recipe, hook))
        return recipe

    return registered


def faulty(
    fault: str,
    or_else: Sequence[str] = (),
    beside: Sequence[str] = (),
    severity: str = "warning",
    advice: str = "",
    hook: bool = True,
) -> Callable[[Recipe], Recipe]:
    """A run with one cause of trouble."""

    def registered(recipe: Recipe) -> Recipe:
        right = frozenset(or_else) - {fault}
        besides = frozenset(beside) - right - {fault}
        truth = Truth(fault, right, besides, severity, advice)
        _register(Kind(recipe.__name__, truth, recipe, hook))
        return recipe

    return registered


def kinds() -> dict[str, Kind]:
    """All kinds by name, in the order of their files; needs torch."""
    for file in FILES:
        importlib.import_module(f"tests.zoo.{file}")
    return dict(_KINDS)
