"""Rule files: YAML text in, frozen rules out, or everything that is wrong with line and column."""

from __future__ import annotations

from monitor.rules.default import default_path, load
from monitor.rules.model import (
    Inhibition,
    Match,
    Roles,
    Rule,
    RuleError,
    RuleSet,
    RulesInvalid,
    Severity,
    Span,
    Unit,
)
from monitor.rules.parse import parse
from monitor.rules.schema import json_schema
from monitor.rules.templates import render

__all__ = [
    "Inhibition",
    "Match",
    "Roles",
    "Rule",
    "RuleError",
    "RuleSet",
    "RulesInvalid",
    "Severity",
    "Span",
    "Unit",
    "default_path",
    "json_schema",
    "load",
    "parse",
    "render",
]
