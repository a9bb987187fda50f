"""Server-sent events: small ones that say which runs have changed; the page then fetches.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict

from monitor import __version__
from monitor.page.changes import Change, Changes
from monitor.page.text import clean

PAUSE_SECONDS = 0.5
"""Between two events, unless there is news of an alert: pages need not redraw more often."""
ALIVE_SECONDS = 10.0
"""Without news for so long an event says just that, so that proxies and pages know of us."""
MOST_LISTENERS = 200


async def events(changes: Changes) -> AsyncIterator[bytes]:
    """The stream of one open page; ends when the daemon does."""
    listener = changes.listen()
    seen = changes.version
    try:
        yield _event("hello", {"version": seen, "monitor": __version__})
        while not changes.closed:
            if not await _within(listener.heard, ALIVE_SECONDS):
                yield _event("alive", {})
                continue
            listener.heard.clear()
            listener.urgent.clear()
            change = changes.since(seen)
            if change is not None:
                seen = change.version
                yield _event("changed", _document(change))
                await _within(listener.urgent, PAUSE_SECONDS)
    finally:
        changes.leave(listener)


async def _within(heard: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(heard.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


def _document(change: Change) -> dict[str, object]:
    return {
        "version": change.version,
        "runs": [clean(run) for run in change.runs],
        "many": change.many,
        "news": [
            {k: clean(v) if isinstance(v, str) else v for k, v in asdict(n).items()}
            for n in change.news
        ],
    }


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
