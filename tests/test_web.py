"""The HTTP side, asked through Starlette's own client."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder
from starlette.testclient import TestClient

from monitor.page.reader import Reader
from monitor.page.watched import Watched
from monitor.rules.model import Roles
from monitor.web import Door, ListenError, application, bind


def client(ready: bool = True, problem: str | None = None) -> TestClient:
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)

    def metrics(accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    nothing = Watched(dict, lambda: ready, Roles)
    door = Door(metrics, lambda: ready, lambda: [{"alert": "Toy"}], lambda: problem, nothing)
    return TestClient(application(door, Reader(nothing)))


def test_metrics_as_text_by_default_and_openmetrics_when_asked_for() -> None:
    plain = client().get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert "answer 42.0" in plain.text
    wanted = {"accept": "application/openmetrics-text; version=1.0.0"}
    assert client().get("/metrics", headers=wanted).text.endswith("# EOF\n")


def test_ready_only_when_everything_was_read() -> None:
    assert client(ready=False).get("/-/ready").status_code == 503
    assert client(ready=False).get("/-/healthy").status_code == 200
    assert client().get("/-/ready").status_code == 200


def test_reload() -> None:
    assert client().post("/-/reload").status_code == 200
    refused = client(problem="rules.yaml:1:1: wrong").put("/-/reload")
    assert (refused.status_code, "rules.yaml:1:1: wrong" in refused.text) == (500, True)
    assert client().get("/-/reload").status_code == 405


def test_alerts() -> None:
    assert client().get("/api/v1/alerts").json() == [{"alert": "Toy"}]


def test_a_taken_address_is_named() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["256.0.0.1", "no-such-host.invalid"])
def test_an_address_that_makes_no_sense_is_named(host: str) -> None:
    with pytest.raises(ListenError, match="cannot listen on"):
        bind(host, 0)
