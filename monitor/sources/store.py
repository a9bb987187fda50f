"""Event files in an object store: ``s3://bucket/prefix``, ``gs://``, ``az://``, through fsspec.

An object is replaced as a whole; a growing event file is uploaded again and again, each time
longer. So a store is listed every ``POLL_SECONDS``, once for all objects, and of an object that
has changed the new range is fetched, with the bytes right before it to see that it is the same
file. A store that cannot be reached is a problem with a sentence, and is asked again later and
later. Time-outs bound how long it can keep the loop waiting; ranges of several objects are
fetched at the same time.
"""

from __future__ import annotations

import contextlib
import errno
import time
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from monitor.sources.tail import Status

POLL_SECONDS = 15.0
MAX_PAUSE_SECONDS = 300.0
"""A store that fails is asked again after twice the pause, up to this."""
CONNECTIONS = 16
_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2}}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {"s3": {"config_kwargs": _TIMEOUTS}}
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure"}
_CREDENTIALS = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "AZURE_STORAGE_CONNECTION_STRING",
}


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A prefix in an object store."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def protocol(self) -> str:
        return self.url.partition("://")[0]


class StoreError(OSError):
    """The store does not give what was asked for; ``strerror`` is a sentence for people."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EIO, sentence)


class Store:
    """What is below one URL.

    StoreError, from the constructor, where the protocol is unknown or its driver is missing.
    """

    def __init__(self, url: StoreUrl) -> None:
        self.url = url
        self._files, self._prefix = _connect(url)
        self._listed: dict[str, Status] = {}
        self._paths: dict[str, str] = {}
        self._failure: StoreError | None = None
        self._list_at = 0.0
        self._pause = POLL_SECONDS

    def listing(self) -> Mapping[str, Status]:
        """Path relative to the prefix -> status of every object, no older than the poll.

        StoreError if the last attempt to list has failed.
        """
        if time.monotonic() >= self._list_at:
            self._list()
        if self._failure is not None:
            raise self._failure
        return self._listed

    def _list(self) -> None:
        try:
            self._files.invalidate_cache()
            found = self._files.find(self._prefix, detail=True)
            objects = {p: info for p, info in found.items() if info.get("type") == "file"}
            self._paths = {self._relative(path): path for path in objects}
            self._listed = {self._relative(p): _status(info) for p, info in objects.items()}
            if not found:
                self._must_exist()
            self._failure, self._pause = None, POLL_SECONDS
        except Exception as error:  # noqa: BLE001 - every driver has its own kinds
            self._failure = explain(self.url, error)
            self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        self._list_at = time.monotonic() + self._pause

    def _must_exist(self) -> None:
        """An empty prefix is fine, a bucket that is not there is not."""
        bucket = self._prefix.partition("/")[0]
        if bucket and not self._files.exists(bucket):
            raise FileNotFoundError(bucket)

    def _relative(self, path: str) -> str:
        if path == self._prefix:
            return path.rpartition("/")[2]  # The URL is that of one object.
        return path[len(self._prefix) :].lstrip("/")

    def status(self, path: str) -> Status:
        """As of the last listing; FileNotFoundError."""
        status = self._listed.get(path)
        if status is None:
            raise FileNotFoundError(errno.ENOENT, "no such object")
        return status

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each range, up to the object's end; OSError."""
        size = self.status(path)[0]
        try:
            return [
                self._files.cat_file(self._paths[path], start=begin, end=min(end, size))
                if begin < min(end, size)
                else b""
                for begin, end in ranges
            ]
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "no such object") from None
        except Exception as error:
            # Replaced by a shorter one since it was listed: there is nothing in that range.
            if getattr(error, "errno", None) == errno.EINVAL or "InvalidRange" in str(error):
                return [b"" for _ in ranges]
            raise OSError(errno.EIO, _line(error)) from error


class StoredFile:
    """One object, as a tail reads it."""

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._path = path
        self._fetched: tuple[Sequence[tuple[int, int]], list[bytes]] | None = None

    def status(self) -> Status:
        return self._store.status(self._path)

    def written(self, status: Status) -> float:  # noqa: ARG002 - stores tell it in many ways
        return 0.0

    def pieces(self, ranges: Sequence[tuple[int, int]]) -> tuple[Status, list[bytes]]:
        status = self._store.status(self._path)
        fetched, self._fetched = self._fetched, None
        if fetched is None or fetched[0] != ranges:
            fetched = ranges, self._store.read(self._path, ranges)
        return status, fetched[1]

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """What the next call of :meth:`pieces` will ask for; an error is left to that."""
        with contextlib.suppress(OSError):
            self._fetched = ranges, self._store.read(self._path, ranges)


def fetch_all(wanted: Sequence[tuple[StoredFile, Sequence[tuple[int, int]]]]) -> None:
    """Ranges of several objects at the same time: each answer takes tens of milliseconds."""
    if len(wanted) > 1:
        with ThreadPoolExecutor(min(CONNECTIONS, len(wanted))) as pool:
            for done in [pool.submit(file.fetch, ranges) for file, ranges in wanted]:
                done.result()


def explain(url: StoreUrl, error: BaseException) -> StoreError:
    """A driver's error as a sentence; nothing in it is secret."""
    if isinstance(error, StoreError):
        return error
    kind, text = type(error).__name__, _line(error)
    extra = _EXTRAS.get(url.protocol, url.protocol)
    if isinstance(error, FileNotFoundError) or "NoSuchBucket" in text:
        return StoreError(f"no such bucket: {url}")
    if "Credential" in kind or "credential" in text.lower():
        how = _CREDENTIALS.get(extra, "the environment")
        return StoreError(f"no credentials for {url}: set {how}")
    if isinstance(error, PermissionError) or "AccessDenied" in text or "Forbidden" in text:
        return StoreError(f"no access to {url}: the credentials do not allow to list and read it")
    return StoreError(f"cannot read {url}: {text}")


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _connect(url: StoreUrl) -> tuple[Any, str]:
    extra = _EXTRAS.get(url.protocol)
    install = f"pip install 'training-health-monitor[{extra}]'" if extra else ""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        how = install or "pip install fsspec"
        raise StoreError(f"{url.protocol}:// needs fsspec: {how}") from None
    # Not fsspec's cache of connections either: it would outlive a change of the environment.
    options = {
        "use_listings_cache": False,
        "skip_instance_cache": True,
        **_OPTIONS.get(url.protocol, {}),
    }
    try:
        files, path = url_to_fs(url.url, **options)
    except ImportError as error:
        how = install or str(error)
        raise StoreError(f"{url.protocol}:// needs its driver: {how}") from None
    except ValueError as error:
        raise StoreError(f"{url}: {error}") from None
    except Exception as error:
        raise explain(url, error) from error
    return files, str(path).rstrip("/")


def _status(info: Mapping[str, Any]) -> Status:
    marks = [str(info.get(key)) for key in ("ETag", "etag", "md5Hash", "content_settings")]
    times = [str(info.get(key)) for key in ("LastModified", "mtime", "updated", "created")]
    return int(info["size"] or 0), _number(marks), _number(times)


def _number(texts: Sequence[str]) -> int:
    return zlib.crc32("\0".join(texts).encode())
