"""Messages as Slack takes them, and what becomes of those that it does not take."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from monitor.notices import AlertDocument, document
from monitor.sinks import UnusableError
from monitor.sinks.courier import Later, Outcome, Refused, Taken
from monitor.sinks.ledger import Delivery
from monitor.sinks.slack import Slack, message, webhook
from tests.receiver import Mood, receiving
from tests.sinks.test_ledger import alert

LINK = "http://monitor.example/"


def said(**changes: Any) -> AlertDocument:
    found = {**document(alert(resolved=changes.pop("resolved", None))), **changes}
    return cast("AlertDocument", found)


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, (list, tuple)):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


def test_one_message_says_what_was_seen_and_what_to_try() -> None:
    body = message("sweep/7", [(True, said()), (False, said(resolved=9))], LINK)
    text = "\n".join(strings(body))
    assert body["text"] == "sweep/7: 1 firing, 1 resolved: Toy\nr: it was 1"
    assert "*Toy*  warning, step 5, since step 4" in text
    assert "r: it was 1" in text
    assert "What to try: Look at it." in text
    assert "*Toy* resolved at step 9 (fired at step 5)" in text
    assert "<http://monitor.example/?run=sweep%2F7|Show the run>" in text


HOSTILE = "<!channel> <@U123> <https://evil.example|click> & \udcff *bold*"


def test_a_hostile_name_pings_nobody() -> None:
    body = message(HOSTILE, [(True, said(subject=HOSTILE, summary=HOSTILE, run=HOSTILE))], LINK)
    text = json.dumps(body)
    assert "<!" not in text
    assert "<@" not in text
    assert "<https" not in text
    assert text.count("<") == text.count("<http://monitor.example/?run=") == 1


@settings(deadline=None)
@given(st.text(min_size=1), st.text(alphabet="<>&a\n", max_size=9000), st.integers(1, 10))
def test_what_is_sent_keeps_within_slacks_limits(run: str, text: str, count: int) -> None:
    firing = (True, said(summary=text, advice=text))
    body = message(run * 50, [firing] * count, LINK)
    assert len(body["blocks"]) <= 50
    for block in Block.parse_all(list(body["blocks"])):
        block.validate_json()
    for block in body["blocks"]:
        if block["type"] == "header":
            assert 0 < len(block["text"]["text"]) <= 150
        if block["type"] == "section":
            assert 0 < len(block["text"]["text"]) <= 3000


def sent(mood: Mood) -> tuple[Outcome, list[Any], str]:
    with receiving(lambda: mood, "/services/T0/B0/secret") as receiver:
        slack = Slack(receiver.address, LINK)
        delivery = Delivery(1, "r", True, document(alert()), 0.0, 0)
        return slack.send("r", [delivery]), receiver.taken, receiver.address


def test_taken() -> None:
    outcome, taken, _ = sent("ok")
    assert outcome == Taken()
    assert len(taken) == 1


@pytest.mark.parametrize(("mood", "after"), [("500", None), ("429", 1.0), ("reset", None)])
def test_later(mood: Mood, after: float | None) -> None:
    outcome, _, _ = sent(mood)
    assert isinstance(outcome, Later)
    assert outcome.after == after
    assert "secret" not in outcome.reason


def test_the_picture_is_that_of_the_worst_alert_that_fires() -> None:
    link = "https://monitor.example/"
    news = [
        (True, said()),
        (True, said(alert="Dead", severity="critical", fired_step=12)),
        (False, said(alert="Over", resolved=9)),
    ]
    (image,) = [b for b in message("a b/7", news, link, True)["blocks"] if b["type"] == "image"]
    assert image["image_url"] == "https://monitor.example/runs/a%20b/7/alert/Dead-12.png"
    assert "Dead-12" in image["alt_text"]
    resolved = message("r", news[2:], link, True)
    assert "image" not in [block["type"] for block in resolved["blocks"]]
    assert "image" not in json.dumps(message("r", news, link))


@pytest.mark.parametrize("status", [200, 404])
def test_a_picture_is_drawn_before_slack_is_told_of_it(status: int) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def do_POST(self) -> None:
            asked.append("message")
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    news = [Delivery(1, "a b", True, document(alert()), 0.0, 0)]
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        here = f"http://127.0.0.1:{server.server_address[1]}/"
        slack = Slack(f"{here}hook", "https://monitor.example/", pictures=True, near=here)
        assert slack.send("a b", news) == Taken()
        server.shutdown()
    assert asked == ["/runs/a%20b/alert/Toy-5.png", "message"]


def test_a_picture_that_cannot_be_had_keeps_no_message_back() -> None:
    with receiving() as receiver:
        near = nobody_listens()
        slack = Slack(receiver.address, "https://monitor.example/", pictures=True, near=near)
        assert slack.send("r", [Delivery(1, "r", True, document(alert()), 0.0, 0)]) == Taken()


def nobody_listens() -> str:
    with receiving() as receiver:
        return receiver.address.removesuffix("hook")


def test_a_picture_that_slack_cannot_fetch_costs_only_itself() -> None:
    moods: list[Mood] = ["refused", "ok"]
    with receiving(lambda: moods.pop(0)) as receiver:
        slack = Slack(receiver.address, "https://monitor.example/", pictures=True)
        news = [Delivery(1, "r", True, document(alert()), 0.0, 0)]
        assert slack.send("r", news) == Taken()
        assert receiver.asked == 2
        assert "image" not in json.dumps(receiver.taken[0][1])


def test_a_webhook_that_is_gone_refuses() -> None:
    assert isinstance(sent("gone")[0], Refused)


def test_hanging_and_absent_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sinks.slack.TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("tests.receiver.HANG_SECONDS", 1.0)
    for outcome in (sent("hang")[0], nobody_there()):
        assert isinstance(outcome, Later)
        assert "secret" not in outcome.reason


def nobody_there() -> Outcome:
    _, _, address = sent("ok")
    return Slack(address, LINK).send("r", [Delivery(1, "r", True, document(alert()), 0.0, 0)])


def test_the_webhook_is_a_secret_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "webhook"
    file.write_text("https://hooks.slack.com/services/T/B/X\n")
    by_file = {"MONITOR_SLACK_WEBHOOK_URL_FILE": str(file)}
    assert webhook(by_file) == "https://hooks.slack.com/services/T/B/X"
    assert webhook({"MONITOR_SLACK_WEBHOOK_URL": "https://a/b"}) == "https://a/b"
    for environment, why in [
        ({}, "set MONITOR_SLACK_WEBHOOK_URL"),
        ({"MONITOR_SLACK_WEBHOOK_URL_FILE": "/no/such"}, "No such file"),
        ({"MONITOR_SLACK_WEBHOOK_URL": "hunter2"}, "must begin with https://"),
    ]:
        with pytest.raises(UnusableError, match=why) as caught:
            webhook(environment)
        assert "hunter2" not in str(caught.value)
