"""TLS and passwords, asked by a real client of the real server."""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import bcrypt
import pytest
import trustme

from monitor.page.watched import Watched
from monitor.rules import RulesInvalid
from monitor.rules.model import Roles
from monitor.web import Door, bind, serving
from monitor.webconfig import WebConfig, load_web_config

HASH = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()


def written(directory: Path, text: str) -> Path:
    path = directory / "web.yml"
    path.write_text(text)
    return path


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_only_who_knows_a_password_is_admitted(tmp_path: Path) -> None:
    config = load_web_config(written(tmp_path, f"basic_auth_users: {{ann: '{HASH}'}}"))
    for _ in range(2):  # the second time from memory
        assert config.admits(basic("ann", "hunter2"))
        assert not config.admits(basic("ann", "hunter3"))
    assert not config.admits(basic("bob", "hunter2"))
    for nonsense in ("", "Basic", "Basic ???", "Bearer x", basic("ann", "x" * 500), "Basic /w=="):
        assert not config.admits(nonsense)
    assert WebConfig().admits("")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("tls_server_confg: {}", (1, 1), "tls_server_config"),
        ("basic_auth_users: {ann: secret}", (1, 25), "expected a bcrypt hash"),
        (
            "tls_server_config:\n  cert_file: no.pem\n  key_file: no.key",
            (2, 14),
            "cannot be used: No such file",
        ),
        ("tls_server_config: {cert_file: a}", (1, 20), "'key_file' is missing"),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: SSL3}",
            (1, 61),
            "TLS12",
        ),
        ("", (1, 1), "empty"),
    ],
)
def test_mistakes_are_named_with_their_place(
    text: str, place: tuple[int, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RulesInvalid) as caught:
        load_web_config(written(tmp_path, text))
    assert message in str(caught.value)
    assert (caught.value.errors[0].line, caught.value.errors[0].column) == place


def answered(url: str, context: ssl.SSLContext | None, authorization: str = "") -> int:
    request = urllib.request.Request(url, headers={"authorization": authorization})
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/static/main.js", "/static/no", "/api/v1/runs", "/api/v1/run", "/api/v1/curves"),
        *("/api/v1/layers", "/api/v1/events", "/api/v1/alerts", "/-/ready"),
    ],
)
def test_everything_is_behind_the_password(tmp_path: Path, path: str) -> None:
    config = load_web_config(written(tmp_path, f"basic_auth_users: {{ann: '{HASH}'}}"))
    nothing = Watched(dict, lambda: True, Roles)
    door = Door(lambda _: (b"", "text/plain"), lambda: True, list, lambda: None, nothing)
    listener = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
    with serving(door, listener, config):
        assert answered(url, None) == 401
        assert answered(url, None, basic("ann", "hunter2")) in (200, 404)


def test_over_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "s"))
    theirs.cert_pem.write_to_path(str(tmp_path / "ca"))
    config = load_web_config(
        written(
            tmp_path,
            "tls_server_config: {cert_file: s, key_file: s, client_ca_file: ca,"
            " client_auth_type: RequireAndVerifyClientCert, min_version: TLS13}\n"
            f"basic_auth_users: {{ann: '{HASH}'}}",
        )
    )
    nothing = Watched(dict, lambda: True, Roles)
    door = Door(lambda _: (b"", "text/plain"), lambda: True, list, lambda: None, nothing)
    stranger = ssl.create_default_context()
    ours.configure_trust(stranger)
    known = ssl.create_default_context()
    ours.configure_trust(known)
    theirs.issue_cert("client@example.org").configure_cert(known)
    listener = bind("127.0.0.1", 0)
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/metrics"
    with serving(door, listener, config):
        assert answered(url, known, basic("ann", "hunter2")) == 200
        assert answered(url, known, basic("ann", "wrong")) == 401
        assert answered(url, known) == 401
        with pytest.raises((urllib.error.URLError, OSError)):
            answered(url, stranger, basic("ann", "hunter2"))
