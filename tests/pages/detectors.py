"""A page for each detector, from its docstring, its parameters and the default rules with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import yaml

from monitor.rules.checks import match_keys
from monitor.rules.params import Param, params_of
from tests.pages.markdown import MADE, inline, paragraphs, sections, table
from tests.pages.rulefile import Shipped

_OPENINGS = (
    ("Sees", "What it sees"),
    ("Defaults:", "Parameters"),
    ("Stays quiet:", "When it stays quiet"),
    ("Source:", "Source"),
)
_KINDS = {
    "fold": ("fold", "every point, from it and a memory of fixed size"),
    "judge": ("curve", "the whole curve so far, now and then"),
    "listen": ("pulse", "the silence since the last event"),
}
_WINDOW = ("window", "every point, from it and those just before it")


def kind_of(detector: type) -> tuple[str, str]:
    """(kind, what it judges); see "Four kinds of detectors" in CONTRIBUTING.md."""
    return next((said for has, said in _KINDS.items() if hasattr(detector, has)), _WINDOW)


def index(detectors: Mapping[str, type], rules: Sequence[Shipped]) -> str:
    """The page that lists them all."""
    rows = [
        (
            f"[`{name}`]({name}.md)",
            kind_of(kind)[0],
            _summary(kind),
            ", ".join(f"`{rule.alert}`" for rule in _of(name, rules)) or "none",
        )
        for name, kind in detectors.items()
    ]
    return _joined(
        "# Detectors",
        MADE,
        "What a rule can name after `detect:`. Each page says what the detector sees, why its "
        "defaults are what they are and when it stays quiet; the alerts are those of the rules "
        "that come with the monitor, [`rules.yaml`](../../rules.yaml), and where their advice has "
        "{{ braces }}, an alert has the run's own numbers.",
        table(("detector", "kind", "what it is about", "default alerts"), rows),
        "The kinds differ in what a detector is shown:",
        "\n".join(f"* {name}: {what}" for name, what in (_WINDOW, *_KINDS.values())),
    )


def page(name: str, kind: type, rules: Sequence[Shipped]) -> str:
    """The page of one detector."""
    told = sections(kind.__doc__ or "", _OPENINGS)
    parts = [f"# {name}", MADE, *told.pop(""), _facts(kind)]
    told.setdefault("Parameters", [])
    for heading, text in told.items():
        parts.append(f"## {heading}")
        if heading == "Parameters":
            parts.append(_parameters(kind))
        parts += text
    parts.append("## Default rules")
    mine = _of(name, rules)
    if not mine:
        parts.append("None: it is for rules of your own.")
    for rule in mine:
        parts += _rule(rule)
    parts.append("[All detectors](README.md)")
    return _joined(*parts)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(kind: type) -> str:
    return paragraphs(kind.__doc__ or "")[0].rstrip(".")


def _of(name: str, rules: Sequence[Shipped]) -> list[Shipped]:
    return [rule for rule in rules if rule.detector == name]


def _facts(kind: type) -> str:
    """How it is put into a rule: kind, matches, and what else it is told."""
    name, what = kind_of(kind)
    facts = [f"Kind: {name}; it judges {what}."]
    keys = ", ".join(f"`{key}`" for key in match_keys(kind))
    if match_keys(kind) == ("run",):
        facts.append(f"Looks at runs as such; `match` may say which: {keys}.")
    else:
        facts.append(f"`match` may say {keys}. {_without_match(kind)}")
    context = getattr(kind, "context", ())
    if isinstance(context, tuple) and context:
        facts.append("Is told, too: " + ", ".join(f"`{role}`" for role in context) + ".")
    return "\n".join(f"* {fact}" for fact in facts)


def _without_match(kind: type) -> str:
    default = getattr(kind, "default_match", {})
    if default:
        return f"Without it: `{_flow(dict(default))}`."
    if hasattr(kind, "own_match"):
        return "Without it the parameters say which series."
    return "It has to be given."


def _parameters(kind: type) -> str:
    units = {f.name: str(f.metadata.get("unit", "")) for f in dataclasses.fields(kind)}
    rows = [
        (f"`{p.name}`", _type(p), units[p.name], _default(p), inline(p.doc))
        for p in params_of(kind).values()
    ]
    return table(("parameter", "type", "unit", "default", "meaning"), rows) if rows else ""


def _type(param: Param) -> str:
    if param.choices:
        return "one of " + ", ".join(f"`{choice}`" for choice in param.choices)
    words = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return words[param.kind] + (" or null" if param.optional else "")


def _default(param: Param) -> str:
    if param.required:
        return "has to be given"
    value = param.default
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return "none" if value is None else f"`{_flow(value)}`"


def _flow(value: object) -> str:
    """YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return text.strip().removesuffix("...").strip()


def _rule(rule: Shipped) -> Iterator[str]:
    yield f"### {rule.alert}: {rule.severity}"
    lines = [f"{key}: {_flow(value)}" for key, value in rule.settings.items()]
    if lines:
        yield "```yaml\n" + "\n".join(lines) + "\n```"
    yield rule.advice
    if rule.hidden_by:
        sources = " or ".join(f"`{alert}`" for alert in rule.hidden_by)
        yield f"Not shown while {sources} is there, of which it is a consequence."
