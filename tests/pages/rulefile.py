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
    labels = [_labels(rule) for rule in rules]
    return [
        Shipped(
            rule["alert"],
            rule["detect"],
            mine["severity"],
            rule.get("annotations", {}).get("advice", "").strip(),
            {key: rule[key] for key in _SETTINGS if key in rule},
            tuple(
                other["alert"]
                for other in labels
                if any(_hides(one, other, mine) for one in document.get("inhibit", []))
            ),
        )
        for rule, mine in zip(rules, labels, strict=True)
    ]


_SETTINGS = ("match", "params", "for", "keep_firing_for")


def _labels(rule: dict[str, Any]) -> dict[str, str]:
    """Those that inhibitions may name."""
    return {"severity": "warning", **rule.get("labels", {})} | {
        "alert": rule["alert"],
        "detector": rule["detect"],
    }


def _hides(inhibition: dict[str, Any], source: dict[str, str], target: dict[str, str]) -> bool:
    return (
        source is not target
        and _fits(inhibition["source"], source)
        and _fits(inhibition["target"], target)
    )


def _fits(wanted: dict[str, Any], labels: dict[str, str]) -> bool:
    return all(
        labels.get(name) in (values if isinstance(values, list) else [values])
        for name, values in wanted.items()
    )
