"""Recall and false alarms of every detector, as numbers: ``python -m tests.detectors.score``.

All detectors look at all scenarios. A fault counts as found by whom it is named after; *found by
any* counts the other detectors named in the scenario, too: a rate too high may show as divergence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.detectors import DETECTORS, CurveDetector, FoldDetector, WindowDetector
from monitor.points import Floats, Layers
from tests.detectors.cases import cases
from tests.detectors.following import first_bad, follow
from tests.detectors.recipes import Recipe, train
from tests.detectors.scenarios import Scenario, synthetic

LOSSES = ("nonfinite", "divergence", "oscillation", "plateau")
RATE = frozenset({"nonfinite", "divergence", "oscillation"})


@dataclass
class Score:
    """What became of one detector."""

    faults: int = 0
    found: int = 0
    by_any: int = 0
    healthy: int = 0
    false: int = 0
    where: Counter[str] = field(default_factory=Counter)


def fired(scenario: Scenario) -> set[str]:
    """The detectors of losses that speak up."""
    context = None if scenario.lr is None else {"learning_rate": scenario.lr}
    found = set()
    for name in LOSSES:
        detector = DETECTORS[name]()
        if first_bad(follow(detector, scenario.loss, scenario.steps, context)):
            found.add(name)
    return found


def tally(scenarios: Iterable[Scenario]) -> dict[str, Score]:
    """Scores over scenarios; missed faults and false alarms are named."""
    scores = {name: Score() for name in LOSSES}
    for scenario in scenarios:
        said = fired(scenario)
        family = scenario.name.split("/")[0]
        for name, score in scores.items():
            if name in scenario.faults:
                score.faults += 1
                score.found += name in said
                score.by_any += bool(said & scenario.faults)
                if not said & scenario.faults:
                    score.where[f"missed: {family}"] += 1
            elif name not in scenario.also:
                score.healthy += 1
                if name in said:
                    score.false += 1
                    score.where[f"false: {family}"] += 1
    return scores


HEALTHY_RECIPES = {
    ("mlp", "adam"): 1e-3,
    ("mlp", "sgd"): 0.1,
    ("mlp", "momentum"): 0.02,
    ("resnet", "adam"): 1e-3,
    ("conv", "adam"): 1e-3,
    ("gpt", "adam"): 1e-3,
}


def recipes(seeds: range, steps: int) -> Iterator[tuple[str, Recipe]]:
    """Healthy trainings."""
    for (model, optimizer), lr in HEALTHY_RECIPES.items():
        for task in ("classes", "hard_classes", "regression"):
            rate = lr * (0.3 if task == "regression" and optimizer != "adam" else 1.0)
            for seed in seeds:
                name = f"{model} {optimizer} {task}"
                yield (
                    name,
                    Recipe(task, model, optimizer=optimizer, lr=rate, steps=steps, seed=seed),
                )
    for schedule in ("cosine", "warmup_cosine", "step", "cyclic", "one_cycle", "tail"):
        for seed in seeds:
            yield schedule, Recipe(schedule=schedule, steps=steps, seed=seed)
    for batch in (1, 2, 4):
        yield f"batch {batch}", Recipe(batch=batch, lr=3e-4, steps=steps)


def trained(
    seeds: range = range(2),
    steps: int = 600,
    models: Sequence[str] = ("mlp", "resnet", "conv", "gpt"),
) -> Iterator[Scenario]:
    """Real trainings; healthy ones, and the same with rates 100 and 300 times as high."""
    anything = frozenset({"plateau"})
    for name, recipe in recipes(seeds, steps):
        if recipe.model not in models:
            continue
        log = train(recipe)
        healthy = Scenario(f"{name}/healthy", log.loss, lr=log.lr)
        yield healthy
        yield healthy.every(10)
        if recipe.schedule == "constant" and recipe.model != "resnet" and recipe.batch > 4:
            for factor in (100, 300):
                log = train(replace(recipe, lr=recipe.lr * factor))
                yield Scenario(f"{name} x{factor}/sick", log.loss, RATE, anything, log.lr)


def gradients(seeds: range = range(2)) -> dict[str, Score]:
    """The two detectors of gradients on real networks and the norms of synthetic ones."""
    scores = {name: Score() for name in ("vanishing_gradient", "exploding_gradient")}

    def note(
        name: str,
        sick: bool,
        values: Floats,
        recipe: str,
        context: Mapping[str, Floats] | None = None,
        layers: Layers | None = None,
    ) -> None:
        detector = DETECTORS[name]()
        assert isinstance(detector, (WindowDetector, FoldDetector, CurveDetector))
        said = first_bad(follow(detector, values, context=context, layers=layers)) is not None
        score = scores[name]
        score.faults += sick
        score.found += sick and said
        score.by_any += sick and said
        score.healthy += not sick
        score.false += said and not sick
        if said != sick:
            score.where[("missed: " if sick else "false: ") + recipe] += 1

    for seed in seeds:
        for depth in (5, 8, 12, 20):
            for xavier in (False, True):
                log = train(
                    Recipe(activation="sigmoid", depth=depth, xavier=xavier, steps=60, seed=seed)
                )
                title = f"sigmoid, {depth} layers"
                note("vanishing_gradient", True, log.layer_grads, title, layers=log.layers)
            for activation in ("relu", "tanh"):
                log = train(
                    Recipe(activation=activation, depth=depth, xavier=True, steps=60, seed=seed)
                )
                title = f"{activation}, {depth} layers, Xavier"
                note("vanishing_gradient", False, log.layer_grads, title, layers=log.layers)
        for model, depth in (("resnet", 8), ("resnet", 24), ("gpt", 2), ("gpt", 6), ("conv", 4)):
            log = train(Recipe(model=model, depth=depth, steps=60, seed=seed))
            note(
                "vanishing_gradient", False, log.layer_grads, f"{model} {depth}", layers=log.layers
            )
    for name, recipe in recipes(seeds, 600):
        log = train(recipe)
        context = {"train_loss": log.loss}
        note("exploding_gradient", False, log.grad_norm, name, context=context)
    rng = np.random.default_rng(0)
    for height in (300.0, 1e4, 1e8):
        for at in (300, 900):
            for width in (1, 100, 400):
                t = np.arange(1500)
                norm = np.exp(0.5 * rng.normal(size=1500)) * height ** np.clip(
                    (t - at) / width, 0, 1
                )
                note("exploding_gradient", True, norm, f"to {height:g} within {width} points")
    return scores


def others(seeds: range) -> dict[str, Score]:
    """Those that want more than a loss, or look at one for other faults, on cases of their own."""
    scores: dict[str, Score] = {}
    for seed in seeds:
        for n in (1000, 3000):
            for case in cases(seed, n):
                score = scores.setdefault(case.detector, Score())
                said = case.found()
                score.faults += case.sick
                score.found += case.sick and said
                score.by_any += case.sick and said
                score.healthy += not case.sick
                score.false += said and not case.sick
                if said != case.sick:
                    score.where[("missed: " if case.sick else "false: ") + case.name] += 1
    return scores


def table(title: str, scores: dict[str, Score]) -> str:
    """For people."""
    lines = [
        title,
        f"{'':22s}{'faults':>8s}{'found':>8s}{'by any':>8s}{'healthy':>9s}{'false':>7s}",
    ]
    for name, s in scores.items():
        lines.append(f"{name:22s}{s.faults:8d}{s.found:8d}{s.by_any:8d}{s.healthy:9d}{s.false:7d}")
    for name, s in scores.items():
        lines += [f"    {name} {what} ({n})" for what, n in s.where.most_common()]
    return "\n".join(lines)


def main() -> None:
    """Prints the tables, first for the seeds that the defaults were chosen on, then for others.

    Quote the second: the first flatters. Whoever changes a default after looking at the second
    should move its seeds on.
    """
    for title, curves, runs in (
        ("calibration", range(2), range(2)),
        ("held out", range(33, 36), range(13, 15)),
    ):
        print(table(f"{title}: synthetic curves", tally(synthetic(curves))), "\n")
        print(table(f"{title}: cases of the other detectors", others(curves)), "\n")
        print(table(f"{title}: real trainings, losses", tally(trained(runs))), "\n")
        print(table(f"{title}: gradients", gradients(runs)), "\n")


if __name__ == "__main__":
    main()
