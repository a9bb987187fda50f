"""Rule files: text in, a rule set out, or everything that is wrong with the text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from monitor.detectors import DETECTORS
from monitor.detectors.base import Detector
from monitor.nearest import hint, nearest
from monitor.rules import params
from monitor.rules.checks import check, match_keys
from monitor.rules.document import FileSection, InhibitSection, MatchSection, RuleSection, found
from monitor.rules.locate import Document, Loc, read
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

_KINDS = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
}


def parse(text: str, file: str, detectors: Mapping[str, type] = DETECTORS) -> RuleSet:
    """Reads a rule file; ``file`` is its name in errors.

    Raises:
        RulesInvalid: with every error at once, in the order of the text.
    """
    document = read(text, file)
    section = _shape(document)
    check(document, detectors)
    if document.errors or section is None:
        ordered = sorted(set(document.errors), key=lambda e: (e.line, e.column, e.message))
        raise RulesInvalid(tuple(ordered))
    return _rule_set(section, detectors)


def _shape(document: Document) -> FileSection | None:
    """The document as a model; None, and errors in the document, if it has not that shape."""
    if document.value is None and not document.errors:
        document.error((), "empty: expected 'version: 1' and 'groups'")
        return None
    try:
        return FileSection.model_validate(document.value)
    except ValidationError as error:
        _explain(document, error)
        return None


def _explain(document: Document, error: ValidationError) -> None:
    unknown = {
        item["loc"]: _names(item["loc"][:-1])
        for item in error.errors(include_url=False)
        if item["type"] == "extra_forbidden"
    }
    for loc, names in unknown.items():
        document.error(loc, f"unknown key {str(loc[-1])!r}" + hint(str(loc[-1]), names), key=True)
    meant = {(*loc[:-1], nearest(str(loc[-1]), names)) for loc, names in unknown.items()}
    for item in error.errors(include_url=False):
        loc, kind = item["loc"], item["type"]
        if kind == "missing" and loc not in meant:  # else it is there, misspelt
            document.error(loc[:-1], f"{str(loc[-1])!r} is missing")
        elif kind == "rules":
            document.error(loc, item["ctx"]["said"])
        elif kind not in ("missing", "extra_forbidden"):
            wanted = _KINDS.get(kind, item["msg"])
            document.error(loc, f"expected {wanted}, found {found(item['input'])}")


def _names(loc: Loc) -> Collection[str]:
    """The keys that may stand in the section at ``loc``."""
    model: type[BaseModel] = FileSection
    for part in loc:
        if isinstance(part, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            annotation: Any = fields[part].annotation
            model = next(iter(get_args(annotation)), annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


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
    # An expression's own series depends on what is written in it.
    defaults = {**defaults, **getattr(detector, "own_match", {})}
    for name, text in defaults.items():
        other = {"role": "tag", "tag": "role"}.get(name)
        if name in match_keys(kind) and name not in chosen and other not in chosen:
            chosen[name] = (parse_pattern(text),)
    return Match(**chosen)


def _inhibition(inhibition: InhibitSection) -> Inhibition:
    return Inhibition(inhibition.source, inhibition.target, inhibition.equal)
