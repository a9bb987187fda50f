"""A file of rule tests: text in, cases out, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.nearest import hint
from monitor.points import LAYER_PREFIX, Batch, Events, Floats, Layers, Points, SeriesKey
from monitor.rules import Roles, RuleError, RuleSet, RulesInvalid, load
from monitor.rules.locate import Document, Loc, read
from monitor.rules.shape import shape
from monitor.ruletests.document import CaseSection, SeriesSection, TestsSection
from monitor.ruletests.notation import BadNotation
from monitor.ruletests.notation import parse as parse_values

BEGIN = 1.7e9
"""Seconds since the epoch at step 0."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run under test; ``place`` is the line and column of each alert that it must raise."""

    section: CaseSection
    place: tuple[int, int]
    alerts: tuple[tuple[int, int], ...]
    batch: Batch
    silence: float


@dataclass(frozen=True, slots=True)
class Tests:
    """A whole file."""

    __test__ = False  # not pytest's

    rules: RuleSet
    cases: tuple[Case, ...]


def load_tests(path: Path) -> Tests:
    """Reads a file of rule tests and the rule files that it names.

    Raises:
        RulesInvalid: with every error at once, of the tests or of the rules.
        OSError: if a file cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RulesInvalid((RuleError(str(path), 1, 1, f"not UTF-8: {error.reason}"),)) from None
    document = read(text, str(path))
    section = shape(document, TestsSection, "'rule_files' and 'tests'")
    if section is None or document.errors:
        raise _invalid(document)
    rules = _rules(document, path, section.rule_files)
    seconds = section.interval.amount
    cases = tuple(
        _case(document, ("tests", i), case, case.interval.amount if case.interval else seconds)
        for i, case in enumerate(section.tests)
    )
    _check_names(document, section, rules)
    if document.errors:
        raise _invalid(document)
    return Tests(rules, tuple(case for case in cases if case is not None))


def _invalid(document: Document) -> RulesInvalid:
    return RulesInvalid(
        tuple(sorted(set(document.errors), key=lambda e: (e.line, e.column, e.message)))
    )


def _rules(document: Document, path: Path, files: Sequence[str]) -> RuleSet:
    """The rules of all files together; none named: those that come with the monitor."""
    sets = [load(path.parent / file) for file in files] or [load(None)]
    known: set[str] = set()
    roles: dict[str, object] = {}
    for i, rules in enumerate(sets):
        twice = sorted(known & {rule.alert for rule in rules.rules})
        twice += sorted(r for r in roles.keys() & rules.roles.extra.keys())
        for name in twice:
            message = f"{name!r} is in an earlier rule file already"
            many = isinstance(document.at(("rule_files",)), list)
            document.error(("rule_files", i) if many else ("rule_files",), message)
        known |= {rule.alert for rule in rules.rules}
        roles |= rules.roles.extra
    return RuleSet(
        rules=tuple(rule for rules in sets for rule in rules.rules),
        inhibitions=tuple(each for rules in sets for each in rules.inhibitions),
        roles=Roles({name: p for rules in sets for name, p in rules.roles.extra.items()}),
    )


def _check_names(document: Document, section: TestsSection, rules: RuleSet) -> None:
    known = [rule.alert for rule in rules.rules]
    for i, case in enumerate(section.tests):
        many = isinstance(document.at(("tests", i, "ignore")), list)
        named: list[tuple[Loc, str]] = [
            (("tests", i, "alerts", k, "alert"), alert.alert) for k, alert in enumerate(case.alerts)
        ]
        for k, name in enumerate(case.ignore):
            named.append((("tests", i, "ignore", *((k,) if many else ())), name))
        for loc, name in named:
            if name not in known:
                document.error(loc, f"no rule is called {name!r}" + hint(name, known, "there are"))


def _case(document: Document, loc: Loc, case: CaseSection, seconds: float) -> Case | None:
    found = [
        _series(document, (*loc, "series", i), series, case.run, seconds)
        for i, series in enumerate(case.series)
    ]
    columns = tuple(points for points in found if points is not None and len(points.steps))
    keys = [points.key for points in columns]
    if len(set(keys)) < len(keys):
        document.error((*loc, "series"), "a series is there twice")
    if not columns:
        if None not in found:
            document.error((*loc, "series"), "no points: write at least one")
        return None
    clock = np.unique(np.concatenate([points.clock for points in columns]))
    places: list[Loc] = [(*loc, "alerts", k) for k in range(len(case.alerts))]
    steps = np.rint((clock - BEGIN) / seconds).astype(np.int64)
    return Case(
        section=case,
        place=document.values[loc],
        alerts=tuple(document.values[place] for place in places),
        batch=Batch(case.run, "test", columns, Events(steps, clock)),
        silence=case.silence.amount if case.silence else 0.0,
    )


def _series(
    document: Document, loc: Loc, series: SeriesSection, run: str, seconds: float
) -> Points | None:
    scalar = series.tag is not None and series.values is not None
    layered = series.stat is not None and bool(series.layers)
    if scalar == layered or (scalar and (series.stat or series.layers)):
        document.error(loc, "expected 'tag' and 'values', or 'stat' and 'layers'")
        return None
    texts: Mapping[Loc, str] = (
        {(*loc, "values"): str(series.values)}
        if scalar
        else {(*loc, "layers", name): text for name, text in series.layers.items()}
    )
    columns = []
    for place, text in texts.items():
        try:
            columns.append(parse_values(text, seed=f"{series.tag or place[-1]}"))
        except BadNotation as bad:
            document.error(place, str(bad), offset=bad.offset)
    if len(columns) < len(texts):
        return None
    if len({len(values) for values, _ in columns}) > 1:
        document.error((*loc, "layers"), "all layers need equally many values")
        return None
    there = columns[0][1]
    steps = series.first_step + series.every * np.flatnonzero(there).astype(np.int64)
    clock: Floats = BEGIN + seconds * steps.astype(np.float64)
    values = np.stack([column[there] for column, _ in columns], axis=1)
    names = tuple(series.layers)
    layers = Layers(names, ("Linear",) * len(names), ((),) * len(names)) if layered else None
    tag = str(series.tag) if scalar else LAYER_PREFIX + str(series.stat)
    shown = values if layered else values[:, 0].copy()
    return Points(SeriesKey(run, tag), "test", steps, clock, clock, shown, layers)
