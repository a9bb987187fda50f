"""The default rules as they are written in ``rules.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Shipped:
    """One rule: what it is called, what it says to people, and the rest as it is written."""

    alert: str
    detector: str
    severity: str
    advice: str
    settings: dict[str, Any]
    """``match``, ``params``, ``for`` and ``keep_firing_for``, as far as they are given."""
    hidden_by: tuple[str, ...]
    """Alerts that name this one as their consequence."""


def shipped(text: str) -> Sequence[Shipped]:
    """The rules of a file whose mistakes, if any, are found elsewhere."""
    document = yaml.safe_load(text)
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    return [
        Shipped(
            rule["alert"],
            rule["detect"],
            rule.get("labels", {}).get("severity", "warning"),
            rule.get("annotations", {}).get("advice", "").strip(),
            {key: rule[key] for key in _SETTINGS if key in rule},
            _hidden_by(rule["alert"], document.get("inhibit", [])),
        )
        for rule in rules
    ]


_SETTINGS = ("match", "params", "for", "keep_firing_for")


def _hidden_by(alert: str, inhibitions: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    found = [
        source
        for inhibition in inhibitions
        if alert in _listed(inhibition["target"].get("alert"))
        for source in _listed(inhibition["source"].get("alert"))
    ]
    return tuple(dict.fromkeys(found))


def _listed(value: object) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
