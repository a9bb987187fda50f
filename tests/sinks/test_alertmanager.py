"""What Alertmanager is told, as states; the real one takes it in tests/test_delivery.py."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

import httpx
import pytest

from monitor.alerts import Alert, Moment
from monitor.sinks import UnusableError
from monitor.sinks.alertmanager import AHEAD_SECONDS, RESOLVED_SECONDS, Alertmanager, state
from tests.receiver import Mood, Receiver, receiving
from tests.sinks.test_courier import Log
from tests.sinks.test_ledger import alert

LINK = "http://monitor.example/"


def pushing(alerts: Sequence[Alert], url: str = "http://localhost") -> Alertmanager:
    return Alertmanager(url, lambda: alerts, LINK, Log())


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_what_fires_ends_some_minutes_ahead() -> None:
    (told,) = pushing([alert()]).states(1000.0)
    assert told["labels"] == {
        "alertname": "Toy", "run": "r", "detector": "mean_above", "severity": "warning"
    }  # fmt: skip
    assert told["annotations"]["summary"] == "r: it was 1"
    assert told["annotations"]["description"] == "Look at it."
    assert told["annotations"]["status"] == told["generatorURL"] == f"{LINK}?run=r"
    assert (seconds(told["startsAt"]), seconds(told["endsAt"])) == (5.0, 1000.0 + AHEAD_SECONDS)


def test_what_has_resolved_is_told_for_a_while_and_history_is_not() -> None:
    alerts = [alert()]
    manager = pushing(alerts)
    manager.states(1000.0)
    alerts[:] = [alert(resolved=9), alert("History", resolved=8)]
    (told,) = manager.states(1010.0)
    assert (told["labels"]["alertname"], seconds(told["endsAt"])) == ("Toy", 9.0)
    assert len(manager.states(1010.0 + RESOLVED_SECONDS - 1)) == 1
    assert manager.states(1010.0 + RESOLVED_SECONDS) == []


def test_what_resolved_while_no_daemon_was_there_is_told() -> None:
    assert len(pushing([alert(fired=900, resolved=990)]).states(1000.0)) == 1


def test_times_and_names_that_make_no_sense_are_bent() -> None:
    odd = alert(run="a\udcff")
    for clock in (-1e9, 1e18, float("inf")):
        told = state(
            Alert(odd.rule, odd.run, "s", 1, Moment(0, 1, clock), None, odd.evidence), LINK, 1.0
        )
        httpx.Request("POST", "http://localhost", json=told)
        assert told["startsAt"][4] == "-"


@pytest.mark.parametrize("mood", ["500", "reset"])
def test_tries_again_and_says_so_once(mood: Mood) -> None:
    moods: list[Mood] = [mood, mood]
    with receiving(lambda: moods.pop() if moods else "ok", "/prefix/api/v2/alerts") as receiver:
        log, counted = Log(), list[str]()
        url = receiver.address.removesuffix("/api/v2/alerts") + "/"
        manager = Alertmanager(url, lambda: [alert()], LINK, log, counted.append)
        with httpx.Client() as client:
            done = [manager._post(client, manager.states(time.time())) for _ in range(4)]
    assert done == [False, False, True, True]
    assert counted == ["retried", "retried", "ok", "ok"]
    assert len(log.lines) == 2
    ((_, body), _) = receiver.taken
    assert body[0]["labels"]["alertname"] == "Toy"


def test_the_thread_tells_at_once_when_woken_and_ends() -> None:
    alerts: list[Alert] = []
    with receiving(path="/api/v2/alerts") as receiver:
        url = receiver.address.removesuffix("/api/v2/alerts")
        with Alertmanager(url, lambda: alerts, LINK, Log()) as manager:
            alerts.append(alert())
            begin = time.monotonic()
            while not told(receiver) and time.monotonic() - begin < 30:
                manager.wake()
                time.sleep(0.01)
        assert told(receiver)
        assert time.monotonic() - begin < 30


def told(receiver: Receiver) -> bool:
    """Of an alert; that there is none is told as well."""
    return any(body for _, body in list(receiver.taken))


def test_an_address_that_does_not_answer_is_said_before_there_is_an_alert() -> None:
    with receiving() as receiver:
        nobody = receiver.address.removesuffix("/hook")
    log, counted = Log(), list[str]()
    with httpx.Client() as client:
        assert not Alertmanager(nobody, list, LINK, log, counted.append)._post(client, [])
    assert counted == ["retried"]
    assert "alerts not taken" in log.lines[0]


@pytest.mark.parametrize("url", ["alertmanager:9093", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(UnusableError, match="--alertmanager"):
        Alertmanager.check(url)
