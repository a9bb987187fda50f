"""Names as a browser can take them."""

from __future__ import annotations

import json
import math


def clean(text: str) -> str:
    """Without the lone surrogates that stand for bytes of a directory name that is not UTF-8."""
    return text.encode("utf-8", "replace").decode()


def finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def rounded(value: float) -> float | None:
    """Four significant digits, for pictures; None where it is not finite."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def encoded(document: object) -> bytes:
    """As JSON; lone surrogates cannot do harm, whatever string they are in."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
