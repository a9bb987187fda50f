"""What someone may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, whatever its case, or None if none is."""
    lower = {k.lower(): k for k in sorted(known, reverse=True)}
    found = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


def hint(name: str, known: Iterable[str], there: str = "known here") -> str:
    """Ends a message about an unknown ``name``: the nearest one, and the list of all."""
    names = list(dict.fromkeys(known))
    meant = nearest(name, names)
    ask = "" if meant is None else f"; did you mean {meant!r}?"
    listed = ", ".join(names) or "nothing"
    return f"{ask} ({there}: {listed})"
