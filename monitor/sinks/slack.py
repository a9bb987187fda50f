"""Alerts as Slack messages, by an incoming webhook."""

from __future__ import annotations

import http.client
import itertools
import logging
import math
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from slack_sdk.webhook import WebhookClient

from monitor.notices import AlertDocument, picture_name
from monitor.sinks import UnusableError
from monitor.sinks.courier import Later, Outcome, Refused, Taken
from monitor.sinks.ledger import Delivery

VARIABLE = "MONITOR_SLACK_WEBHOOK_URL"
TIMEOUT_SECONDS = 10
DRAWING_SECONDS = 4
"""So long a message waits for its picture to be drawn, since Slack, which fetches it while it takes
the message, will not wait for long; and no longer, since these may be a daemon's last words."""
HEADER_LENGTH, TEXT_LENGTH = 150, 3000
"""Slack's limits for a header and for the text of a section, in characters."""
_SIGNS = {"critical": ":red_circle:", "warning": ":large_orange_circle:"}
_SIGN = ":large_blue_circle:"
_OVER = ":white_check_mark:"

# The library tells its logger each request; the webhook's address is a secret.
_SILENT = logging.getLogger("monitor.slack")
_SILENT.setLevel(logging.CRITICAL + 1)
_SILENT.propagate = False


def webhook(environment: Mapping[str, str]) -> str:
    """The webhook's address, from the variable or from the file that ``..._FILE`` names.

    UnusableError where there is none. Never from an argument: everybody may read those.
    """
    address, file = environment.get(VARIABLE, ""), environment.get(f"{VARIABLE}_FILE", "")
    if not address and not file:
        raise UnusableError(
            f"--slack: set {VARIABLE} to the address of an incoming webhook, or {VARIABLE}_FILE to "
            "the name of a file that holds it (https://api.slack.com/messaging/webhooks)"
        )
    if not address:
        try:
            address = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise UnusableError(f"--slack: cannot read {VARIABLE}_FILE={file}: {reason}") from error
    address = address.strip()
    if not address.startswith(("https://", "http://")) or any(map(str.isspace, address)):
        raise UnusableError(f"--slack: {VARIABLE} is no address: it must begin with https://")
    return address


class Slack:
    """A channel: one message per run for what became news together."""

    name = "slack"
    most = 10
    pause = 1.0
    """Slack takes about one message a second of each webhook."""

    def __init__(
        self, address: str, link: str, pictures: bool = False, near: str | None = None
    ) -> None:
        """``link``: where people see more; a run's name is added as ``?run=``.

        ``pictures``: Slack, which fetches them itself, can reach those below ``link``. ``near``:
        where they are to be had from here, so that they are drawn before Slack is told of them.
        """
        self._client = WebhookClient(
            address, timeout=TIMEOUT_SECONDS, retry_handlers=[], logger=_SILENT
        )
        self._link = link
        self._pictures = pictures
        self._near = near

    def send(self, run: str, deliveries: Sequence[Delivery]) -> Outcome:
        """Posts it; whatever goes wrong is an outcome, without the webhook's address in it."""
        said = [(d.firing, d.document) for d in deliveries]
        firing = [document for fires, document in said if fires]
        if self._pictures and self._near is not None and firing:
            _drawn(self._near + _picture_path(run, firing))
        outcome = self._post(message(run, said, self._link, self._pictures))
        if self._pictures and isinstance(outcome, Refused):
            # A picture that Slack could not fetch makes it refuse all of the message.
            return self._post(message(run, said, self._link))
        return outcome

    def _post(self, body: Mapping[str, Any]) -> Outcome:
        try:
            answer = self._client.send_dict(dict(body))
        except OSError as error:  # of the network: urllib's errors, time-outs and resets are some
            return Later(_reason(error))
        except Exception as error:  # noqa: BLE001 - http.client has errors of its own
            return Later(type(error).__name__)
        if answer.status_code == 200:
            return Taken()
        said = f"HTTP {answer.status_code}: {answer.body[:200]}"
        if answer.status_code == 429:
            return Later(said, _retry_after(answer.headers))
        if answer.status_code in {400, 403, 404, 410}:
            return Refused(said)
        return Later(said)


def message(
    run: str,
    transitions: Sequence[tuple[bool, AlertDocument]],
    link: str,
    pictures: bool = False,
) -> Mapping[str, Any]:
    """The body of a message: (firing, alert) of one run, at most 10, in the order of their news.

    One picture at most, of the worst alert that fires.
    """
    firing = [said for fires, said in transitions if fires]
    over = [said for fires, said in transitions if not fires]
    parts = [f"{len(firing)} firing"] * bool(firing) + [f"{len(over)} resolved"] * bool(over)
    title = f"{'this run' if run == '.' else run}: {', '.join(parts)}"
    names = ", ".join(dict.fromkeys(said["alert"] for said in firing or over))
    blocks = [
        {"type": "header", "text": _plain(title, HEADER_LENGTH)},
        *(block for fires, said in transitions for block in (_firing if fires else _over)(said)),
        *([_picture(link, run, firing)] if pictures and firing else []),
        {
            "type": "context",
            "elements": [_markup(f"<{_fitting(_page(link, run), 2000)}|Show the run>")],
        },
    ]
    # What a telephone shows of it.
    text = _fitting(
        "\n".join([f"{title}: {names}", *(said["summary"] for said in firing[:1])]), 500
    )
    return {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _firing(said: AlertDocument) -> list[Mapping[str, Any]]:
    where = f"step {said['fired_step']:,d}"
    if said["onset_step"] < said["fired_step"]:
        where += f", since step {said['onset_step']:,d}"
    sign, name = _SIGNS.get(said["severity"], _SIGN), _fitting(said["alert"], 200)
    advice = said["advice"] and f"What to try: {said['advice']}"
    return [
        _section(_markup(f"{sign} *{name}*  {said['severity']}, {where}")),
        # Not as markup: tags and directories may be called anything.
        *(_section(_plain(text, TEXT_LENGTH)) for text in (said["summary"], advice) if text),
    ]


def _over(said: AlertDocument) -> list[Mapping[str, Any]]:
    step, name = said["resolved_step"], _fitting(said["alert"], 200)
    when = "is over" if step is None else f"resolved at step {step:,d}"
    return [_section(_markup(f"{_OVER} *{name}* {when} (fired at step {said['fired_step']:,d})"))]


def _picture(link: str, run: str, firing: Sequence[AlertDocument]) -> Mapping[str, Any]:
    where = f"{link}{_picture_path(run, firing)}"
    said = {"image_url": where, "alt_text": _fitting(f"The curve of {run}: {_worst(firing)}", 1900)}
    return {"type": "image", **said}


def _worst(firing: Sequence[AlertDocument]) -> str:
    """The picture of the worst of them."""
    worst = min(firing, key=lambda said: (*_SIGNS, "info").index(said["severity"]))
    return picture_name(worst["alert"], worst["fired_step"])


def _picture_path(run: str, firing: Sequence[AlertDocument]) -> str:
    return f"runs/{quote(_text(run))}/alert/{quote(_worst(firing), safe='')}.png"


def _drawn(address: str) -> None:
    """Waits for a picture; whatever comes of it, the message goes out."""
    with (
        suppress(OSError, http.client.HTTPException),
        urllib.request.urlopen(address, timeout=DRAWING_SECONDS) as answer,  # noqa: S310 - our own
    ):
        answer.read()


def _section(text: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "section", "text": text}


def _markup(text: str) -> Mapping[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _plain(text: str, length: int) -> Mapping[str, Any]:
    return {"type": "plain_text", "text": _fitting(text, length), "emoji": False}


def _page(link: str, run: str) -> str:
    return f"{link}?run={quote(_text(run), safe='')}"


def _text(run: str) -> bytes:
    return run.encode("utf-8", "replace")


def _fitting(text: str, length: int) -> str:
    """Escaped, so that a run named ``<!channel>`` pings nobody, and cut to ``length``."""
    escaped = [_ESCAPES.get(c, c) for c in text.encode("utf-8", "replace").decode()]
    if sum(map(len, escaped)) <= length:
        return "".join(escaped)
    ends = itertools.accumulate(map(len, escaped))
    fitting = sum(1 for end in ends if end < length)
    return "".join(escaped[:fitting]) + "\u2026"


_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    given = {name.lower(): value for name, value in headers.items()}.get("retry-after")
    try:
        seconds = float(given[0] if isinstance(given, list) else given or "")
    except ValueError:
        return None
    return min(max(seconds, 1.0), 3600.0) if math.isfinite(seconds) else None


def _reason(error: OSError) -> str:
    """What went wrong, without the address that it went wrong with."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, OSError):
        error = inner
    return f"{type(error).__name__}: {error.strerror}" if error.strerror else type(error).__name__
