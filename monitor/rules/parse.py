"""Rule files: text in, a rule set out, or everything that is wrong with the text."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.detectors import DETECTORS
from monitor.detectors.base import Detector
from monitor.rules import params
from monitor.rules.checks import check, match_keys
from monitor.rules.document import FileSection, InhibitSection, MatchSection, RuleSection
from monitor.rules.locate import read
from monitor.rules.model import (
    Inhibition,
    Match,
    Roles,
    Rule,
    RuleSet,
    RulesInvalid,
    Severity,
)
from monitor.rules.patterns import parse_pattern
from monitor.rules.shape import shape


def parse(text: str, file: str, detectors: Mapping[str, type] = DETECTORS) -> RuleSet:
    """Reads a rule file; ``file`` is its name in errors.

    Raises:
        RulesInvalid: with every error at once, in the order of the text.
    """
    document = read(text, file)
    section = shape(document, FileSection, "'version: 1' and 'groups'")
    check(document, detectors)
    if document.errors or section is None:
        ordered = sorted(set(document.errors), key=lambda e: (e.line, e.column, e.message))
        raise RulesInvalid(tuple(ordered))
    return _rule_set(section, detectors)


def _rule_set(file: FileSection, detectors: Mapping[str, type]) -> RuleSet:
    return RuleSet(
        rules=tuple(
            _rule(rule, group.name, detectors[rule.detect])
            for group in file.groups
            for rule in group.rules
            if rule.enabled
        ),
        inhibitions=tuple(_inhibition(inhibition) for inhibition in file.inhibit),
        roles=Roles(file.roles),
    )


def _rule(rule: RuleSection, group: str, kind: type) -> Rule:
    labels = {"severity": Severity.WARNING.label, **rule.labels}
    detector = params.build(kind, rule.params)
    return Rule(
        alert=rule.alert,
        group=group,
        detector=detector,
        match=_match(rule.match, detector),
        hold=rule.hold,
        keep_firing_for=rule.keep_firing_for,
        severity=Severity[labels["severity"].upper()],
        labels=labels,
        summary=rule.annotations.summary,
        advice=rule.annotations.advice,
        runbook_url=rule.annotations.runbook_url,
    )


def _match(match: MatchSection, detector: Detector) -> Match:
    """The rule's own patterns, and the detector's where the rule leaves the choice to it."""
    kind = type(detector)
    given = {name: getattr(match, name) for name in MatchSection.model_fields}
    chosen = {name: patterns for name, patterns in given.items() if patterns}
    defaults: Mapping[str, str] = getattr(detector, "default_match", {})
    if match.stat or match.layer or match.layer_kind:
        defaults = {name: text for name, text in defaults.items() if name not in ("role", "tag")}
    if match.role or match.tag:
        defaults = {name: text for name, text in defaults.items() if name != "stat"}
    # An expression's own series depends on what is written in it.
    defaults = {**defaults, **getattr(detector, "own_match", {})}
    for name, text in defaults.items():
        other = {"role": "tag", "tag": "role"}.get(name)
        if name in match_keys(kind) and name not in chosen and other not in chosen:
            chosen[name] = (parse_pattern(text),)
    return Match(**chosen)


def _inhibition(inhibition: InhibitSection) -> Inhibition:
    return Inhibition(inhibition.source, inhibition.target, inhibition.equal)
