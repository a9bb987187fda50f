"""Alerts for Alertmanager, so that its routes, silences and groups apply.

Alertmanager wants states, not news: what fires is told again each minute with an end some minutes
ahead, and what has resolved for a while. It finds out itself what is new, so that nothing has to
be remembered here. If the daemon dies, its alerts end when the last end told has passed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import httpx

from monitor.alerts import Alert, labels
from monitor.notices import Identity, advice, identity, summary
from monitor.sinks import UnusableError
from monitor.sinks.log import Logger

RESEND_SECONDS = 60.0
AHEAD_SECONDS = 240.0
"""An alert that is not told again for so long is over: four times the pause, as Prometheus does."""
RESOLVED_SECONDS = 300.0
"""So long what has resolved is told again, in case one message was lost."""
RETRY_SECONDS = 5.0
TIMEOUT_SECONDS = 10.0
FLUSH_SECONDS = 5.0
AT_ONCE = 500

JSON = Mapping[str, Any]


class Alertmanager:
    """Tells one Alertmanager of all alerts, in a thread of its own. A context."""

    name = "alertmanager"

    def __init__(
        self,
        url: str,
        alerts: Callable[[], Sequence[Alert]],
        link: str,
        log: Logger,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``url``: as people open it, ``http://user:password@alertmanager:9093/prefix``."""
        self._url = httpx.URL(url.rstrip("/") + "/api/v2/alerts")
        self._alerts = alerts
        self._link = link
        self._log = log
        self._count = count
        self._ended: dict[tuple[str, Identity], float] = {}
        """When an alert was first seen to be over, by the daemon's clock."""
        self._told: set[tuple[str, Identity]] = set()
        self._wake = threading.Event()
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @staticmethod
    def check(url: str) -> None:
        """UnusableError if ``url`` is none."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UnusableError(f"--alertmanager {url!r}: {error}") from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            message = "expected an address such as http://alertmanager:9093"
            raise UnusableError(f"--alertmanager {url!r}: {message}")

    def __enter__(self) -> Alertmanager:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join(FLUSH_SECONDS)

    def wake(self) -> None:
        """Something is news."""
        self._wake.set()

    def _run(self) -> None:
        with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            while True:
                closing = self._closing
                taken = self._post(client, self.states(time.time()))
                if closing:
                    return
                if self._wake.wait(RESEND_SECONDS if taken else RETRY_SECONDS) and not taken:
                    time.sleep(0.0 if self._closing else 1.0)  # news do not make it better
                self._wake.clear()

    def states(self, now: float) -> list[JSON]:
        """What is to be told at ``now``, by the daemon's clock."""
        found: list[JSON] = []
        ended: dict[tuple[str, Identity], float] = {}
        for alert in self._alerts():
            key = alert.run, identity(alert)
            if alert.active:
                self._told.add(key)
                found.append(state(alert, self._link, now + AHEAD_SECONDS))
                continue
            assert alert.resolved is not None
            recent = now - alert.resolved.clock < RESOLVED_SECONDS
            if key not in self._told and key not in self._ended and not recent:
                continue  # history
            ended[key] = self._ended.get(key, now)
            if now - ended[key] < RESOLVED_SECONDS:
                end = max(alert.fired.clock, min(alert.resolved.clock, now))
                found.append(state(alert, self._link, end))
        self._ended = ended
        self._told -= ended.keys()
        return found

    def _post(self, client: httpx.Client, states: Sequence[JSON]) -> bool:
        """Whether all of it was taken."""
        try:
            # Nothing is told, too: an address that does not answer is known before it matters.
            for i in range(0, max(1, len(states)), AT_ONCE):
                answer = client.post(self._url, json=list(states[i : i + AT_ONCE]))
                if answer.status_code >= 300:
                    return self._failed(f"HTTP {answer.status_code}: {answer.text[:200]}")
        except httpx.HTTPError as error:
            return self._failed(f"{type(error).__name__}: {error}")
        if states:
            self._count("ok")
        if self._failing:
            self._log.info("alerts are taken again", sink=self.name)
        self._failing = False
        return True

    def _failed(self, reason: str) -> bool:
        if not self._failing:
            self._log.warning("alerts not taken", sink=self.name, problem=reason)
        self._failing = True
        self._count("retried")
        return False


def state(alert: Alert, link: str, ends: float) -> JSON:
    """An alert as Alertmanager's API takes it; ``ends`` in seconds since the epoch."""
    page = f"{link}?run={quote(_valid(alert.run), safe='')}"
    return {
        "labels": {
            "alertname": alert.rule.alert,
            "run": _valid(alert.run),
            **{k: _valid(v) for k, v in labels(alert.rule).items() if k != "alert"},
        },
        "annotations": {
            "summary": _valid(summary(alert)),
            "description": _valid(advice(alert)),
            "subject": _valid(alert.subject),
            "step": str(alert.fired.step),
            "status": page,
        },
        "startsAt": _time(alert.fired.clock),
        "endsAt": _time(ends),
        "generatorURL": page,
    }


def _valid(text: str) -> str:
    """As UTF-8 has it: names of directories may be any bytes."""
    return text.encode("utf-8", "replace").decode()


def _time(seconds: float) -> str:
    """RFC 3339; event files may claim any time, years have four digits."""
    seconds = min(max(seconds, 0.0), 253_402_300_799.0)
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
