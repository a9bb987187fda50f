"""Templates of summaries and advice: ``{{ name }}``, and nothing more.

Rule files may come from people who should not run code here, so there is no template
language: a name in double braces is replaced by its value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from monitor.nearest import hint, nearest

VARIABLES: Mapping[str, str] = {
    "run": "the run's directory, relative to the log directory",
    "alert": "the alert's name",
    "detector": "the detector that found it",
    "severity": "info, warning or critical",
    "subject": "the tag, or the layers at fault",
    "step": "the step at which the alert fired",
    "onset": "the step at which the trouble began",
    "value": "the number seen",
    "seen": "one sentence with numbers and steps: what was seen",
    "layers": "the layers at fault, worst first",
    "learning_rate": "the learning rate at the time, or 'unknown'",
    "optimizer": "the optimizer's class, as the hook says it, or 'unknown'",
}
"""What templates may name, and what each stands for."""

_FIELD = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_BRACES = re.compile(r"\{\{(.*?)(?:\}\}|\Z)", re.DOTALL)


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with each ``{{ name }}`` replaced; a name without a value reads "unknown"."""
    return _FIELD.sub(lambda found: values.get(found[1], "unknown"), template)


def mistakes(template: str, known: Collection[str] = tuple(VARIABLES)) -> Iterator[str]:
    """Everything in ``template`` that :func:`render` would not replace as meant."""
    for found in _BRACES.finditer(template):
        written, name = found[0], found[1].strip()
        if not written.endswith("}}"):
            yield f"'{{{{' without '}}}}' in {_short(written)!r}"
        elif not _FIELD.fullmatch(written):
            meant = nearest(name.removeprefix("$labels.").strip("$. "), known)
            yield f"{_short(written)!r}: expected a name in braces" + (
                f", did you mean '{{{{ {meant} }}}}'?" if meant else ", such as '{{ run }}'"
            )
        elif name not in known:
            yield f"unknown template variable {name!r}" + hint(name, known)


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:27] + "..."
