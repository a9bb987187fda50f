"""The page's own files, as they stand in the package: nothing is built, nothing is fetched."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file with what its answer says of it."""

    body: bytes
    packed: bytes
    """The same, compressed with gzip."""
    content_type: str
    etag: str


def assets() -> Mapping[str, Asset]:
    """Path below ``static/`` -> file."""
    return dict(_found())


def _found() -> Iterator[tuple[str, Asset]]:
    folder = Path(__file__).parent / "static"
    for path in sorted(folder.rglob("*")):
        content_type = TYPES.get(path.suffix)
        if content_type is not None:
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            yield (
                path.relative_to(folder).as_posix(),
                Asset(body, gzip.compress(body, mtime=0), content_type, etag),
            )
