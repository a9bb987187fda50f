"""Encryption and passwords of the HTTP side, in the file that Prometheus' own exporters take.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import bcrypt
from pydantic import Field

from monitor.rules import RuleError, RulesInvalid
from monitor.rules.document import Section
from monitor.rules.locate import Document, read
from monitor.rules.shape import shape

PASSWORDS_REMEMBERED = 100

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_DEMANDS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class _Tls(Section):
    cert_file: str
    key_file: str
    client_ca_file: str = ""
    client_auth_type: Literal[
        "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
    ] = "NoClientCert"
    min_version: Literal["TLS12", "TLS13"] = "TLS12"


class _File(Section):
    tls_server_config: _Tls | None = None
    basic_auth_users: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Who may ask, and how the answer is hidden from others."""

    context: ssl.SSLContext | None = None
    """For TLS; None: plain HTTP."""
    users: Mapping[str, bytes] = field(default_factory=dict)
    """Name -> bcrypt hash of the password; empty: everybody may ask."""
    _known: dict[bytes, None] = field(default_factory=dict)

    def admits(self, authorization: str) -> bool:
        """Whether a request with this ``Authorization`` header (or "") is answered."""
        if not self.users:
            return True
        kind, _, text = authorization.partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        # A name that nobody has takes as long, so that names cannot be guessed.
        stored = self.users.get(name) or _nobody()
        # bcrypt takes a tenth of a second, on purpose; a scraper asks every few seconds.
        key = hmac.digest(_SALT, name.encode() + b"\0" + password.encode() + stored, "sha256")
        if key in self._known:
            return True
        if not _matches(password, stored) or name not in self.users:
            return False
        if len(self._known) >= PASSWORDS_REMEMBERED:
            self._known.clear()
        self._known[key] = None
        return True


_SALT = secrets.token_bytes(32)


@cache
def _nobody() -> bytes:
    return bcrypt.hashpw(secrets.token_bytes(32), bcrypt.gensalt(10))


def _matches(password: str, stored: bytes) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), stored)
    except ValueError:  # longer than bcrypt can take
        return False


def load_web_config(path: Path) -> WebConfig:
    """The file's settings; names of files in it are relative to its directory.

    Raises:
        RulesInvalid: with every error at once, each with its line and column.
        OSError: if it cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RulesInvalid((RuleError(str(path), 1, 1, f"not UTF-8: {error.reason}"),)) from None
    document = read(text, str(path))
    file = shape(document, _File, "'tls_server_config' or 'basic_auth_users'")
    if file is None:
        raise RulesInvalid(tuple(document.errors))
    users = {name: stored.encode() for name, stored in file.basic_auth_users.items()}
    for name, stored in users.items():
        try:
            bcrypt.checkpw(b"", stored)
        except ValueError:
            said = "expected a bcrypt hash, for example from: htpasswd -nBC 10 '' | tr -d ':'"
            document.error(("basic_auth_users", name), said)
    tls = file.tls_server_config
    context = None if tls is None else _context(document, tls, path.parent)
    if document.errors:
        raise RulesInvalid(tuple(document.errors))
    return WebConfig(context, users)


def _context(document: Document, tls: _Tls, base: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    try:
        context.load_cert_chain(base / tls.cert_file, base / tls.key_file)
    except (OSError, ssl.SSLError) as error:
        document.error(("tls_server_config", "cert_file"), f"cannot be used: {_reason(error)}")
    if tls.client_ca_file:
        try:
            context.load_verify_locations(base / tls.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            at = ("tls_server_config", "client_ca_file")
            document.error(at, f"cannot be used: {_reason(error)}")
    elif tls.client_auth_type != "NoClientCert":
        at = ("tls_server_config", "client_auth_type")
        document.error(at, "client_ca_file is missing: nobody could be let in")
    context.verify_mode = _DEMANDS[tls.client_auth_type]
    return context


def _reason(error: OSError) -> str:
    return error.strerror or getattr(error, "reason", None) or str(error)
