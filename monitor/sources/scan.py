"""Which event files are below a root: directories are walked, links included, loops not.

An event file has ``tfevents`` in its name, as TensorBoard has it.
"""
# Directories may hold 100,000 entries, so paths stay strings here:
# ruff: noqa: PTH112, PTH113, PTH116, PTH118, PTH119, PTH120

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from monitor.formats.summaries import ANNOTATIONS
from monitor.sources.store import Store, StoreError, StoreUrl

MARK = "tfevents"

Root = Path | StoreUrl


def root_of(text: str) -> Root:
    """What a command line names: a directory or file, or a URL such as ``s3://bucket/prefix``."""
    return StoreUrl(text) if "://" in text else Path(text)


def problem(root: Root) -> str | None:
    """Why ``root`` cannot be watched, in one line; None if it can."""
    try:
        if isinstance(root, StoreUrl):
            Store(root).listing()
        elif root.is_dir():
            os.scandir(root).close()
        elif root.exists():
            with root.open("rb"):
                pass
        else:
            return f"no such directory: {root}"
    except StoreError as error:
        return error.strerror
    except OSError as error:
        return f"cannot read {root}: {error.strerror}"
    return None


@dataclass(slots=True)
class Scan:
    """What one walk over all roots has found."""

    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Path -> (index of the root, directory relative to it)."""
    problems: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    """Directories that exist and could not be listed: nothing is known of what is in them."""
    directories: set[tuple[int, int]] = field(default_factory=set)
    inodes: set[tuple[int, int]] = field(default_factory=set)


def walk_root(scan: Scan, index: int, root: Path) -> None:
    """Puts into ``scan`` what is below ``root``, the ``index``-th of all roots."""
    # Links come last, so that a run that is also linked as "latest" keeps its own name.
    links: list[tuple[str, str]] = []
    if root.is_file():
        _add_file(scan, index, str(root), ".")
    else:
        _walk(scan, index, str(root), ".", links)
    while links:
        path, relative = links.pop(0)
        if os.path.isdir(path):
            _walk(scan, index, path, relative, links)
        elif is_event_file(os.path.basename(path)) and os.path.isfile(path):
            _add_file(scan, index, path, os.path.dirname(relative) or ".")


def _walk(scan: Scan, index: int, top: str, relative: str, links: list[tuple[str, str]]) -> None:
    """Lists ``top`` and what is below it; links are put into ``links``, not followed."""
    waiting = [(top, relative)]
    while waiting:
        directory, relative = waiting.pop()
        try:
            status = os.stat(directory)
            if (status.st_dev, status.st_ino) in scan.directories:
                continue  # A link led to where we have been; it may even be above us.
            scan.directories.add((status.st_dev, status.st_ino))
            with os.scandir(directory) as entries:
                for entry in entries:
                    place = entry.name if relative == "." else f"{relative}/{entry.name}"
                    if entry.is_symlink():
                        links.append((entry.path, place))
                    elif entry.is_dir():
                        waiting.append((entry.path, place))
                    elif is_event_file(entry.name) and entry.is_file():
                        _add(scan, index, entry.path, relative, (status.st_dev, entry.inode()))
        except OSError as error:
            _note(scan, directory, relative, error)


def _add_file(scan: Scan, index: int, path: str, directory: str) -> None:
    try:
        status = os.stat(path)
    except OSError:
        return  # Gone in between, or out of reach; the next scan sees it again.
    _add(scan, index, path, directory, (status.st_dev, status.st_ino))


def _add(scan: Scan, index: int, path: str, directory: str, inode: tuple[int, int]) -> None:
    if inode not in scan.inodes:
        scan.inodes.add(inode)
        scan.files[path] = index, directory


def _note(scan: Scan, directory: str, relative: str, error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        scan.problems[directory] = f"cannot read {directory}: {error.strerror}"
        scan.unlisted.append(directory)
    elif relative == ".":
        scan.problems[directory] = f"no such directory: {directory}"


def is_event_file(name: str) -> bool:
    """Whether a file of that name is to be read."""
    return MARK in name and not name.endswith(ANNOTATIONS)


def inside(path: str, directory: str) -> bool:
    """Whether ``path`` is below ``directory``."""
    return path.startswith(os.path.join(directory, ""))


def text_of(path: str) -> str:
    """A path as text that can be printed anywhere, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", "replace")
