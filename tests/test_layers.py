"""The rooms of the house and who may enter whom: diagram and test in one.

Imports only point down the table; siblings do not see each other. The sets name rooms of ours
and third-party packages; the standard library is free to all.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "monitor"

ALLOWED: dict[str, set[str]] = {
    # what people start
    "__main__": {"cli"},
    "cli": {
        "alerts",
        "daemon",
        "delivery",
        "demo",
        "explain",
        "follower",
        "following",
        "notices",
        "pictures",
        "rules",
        "ruletests",
    }
    | {
        "sinks",
        "sources",
        "terminal",
        "web",
        "webconfig",
        "__init__",
        "click",
        "rich",
        "structlog",
    },
    "demo": {"__init__", "rich", "numpy", "torch", "sklearn"},
    # the only loop, the only clock
    "daemon": {
        "alerts",
        "archive",
        "follower",
        "notices",
        "own_metrics",
        "page",
        "rules",
        "sinks",
        "sources",
    }
    | {"views", "web", "prometheus_client"},
    # what leaves the house
    "own_metrics": {"follower", "__init__", "prometheus_client"},
    "delivery": {"alerts", "sinks"},
    "web": {"page", "pictures", "webconfig", "starlette", "uvicorn"},
    "page": {"alerts", "history", "notices", "pictures", "points", "rules", "sources", "views"}
    | {"__init__"}
    | {"numpy", "starlette"},
    # inside TensorBoard: it starts the command, and sees nothing else of it
    "plugin": {"cli", "tensorboard"},
    "pictures": {"alerts", "engine", "history", "nearest", "notices", "parallel", "points", "rules"}
    | {"sources", "matplotlib", "numpy", "starlette"},
    "webconfig": {"rules", "bcrypt", "pydantic"},
    "following": {"follower", "terminal", "rich"},
    "terminal": {"alerts", "notices", "points", "rules", "views", "numpy", "rich"},
    "sinks": {
        "alerts",
        "formats",
        "notices",
        "rules",
        "views",
        "httpx",
        "prometheus_client",
        "slack_sdk",
    },
    "explain": {"alerts", "detectors", "engine", "nearest", "notices", "parallel", "points"}
    | {"rules", "series", "sources", "terminal", "numpy", "rich"},
    # what comes in, and what is made of it
    "history": {"points", "ranks", "series", "sources", "numpy"},
    "follower": {"alerts", "engine", "parallel", "rules", "sources", "views"},
    "parallel": {"engine", "rules", "sources", "joblib"},
    "engine": {
        "alerts",
        "attempts",
        "context",
        "detectors",
        "episodes",
        "heartbeat",
        "plans",
    }
    | {"points", "ranks", "rules", "series", "views", "numpy"},
    "attempts": {"alerts", "detectors", "episodes", "plans", "points", "rules", "series", "numpy"},
    "plans": {"detectors", "points", "rules"},
    "ruletests": {"alerts", "engine", "nearest", "notices", "points", "rules"}
    | {"numpy", "pydantic"},
    "notices": {"alerts", "rules"},
    "sources": {"formats", "points", "fsspec", "watchdog"},
    # the core: no files, no clock, no threads
    "episodes": {"alerts", "points", "rules", "numpy"},
    "archive": {"views"},
    "views": {"alerts", "points", "numpy"},
    "alerts": {"points", "rules", "numpy"},
    "rules": {"detectors", "nearest", "points", "numpy", "pydantic", "pydantic_core", "yaml"},
    "detectors": {"nearest", "points", "numpy"},
    "series": {"bins", "points", "recent", "numpy"},
    "context": {"points", "recent", "numpy"},
    "bins": {"points", "numpy"},
    "recent": {"numpy"},
    "heartbeat": {"points", "numpy"},
    "ranks": {"formats", "points", "replicas", "numpy"},
    "replicas": {"points", "numpy"},
    "formats": {"points", "numpy", "google_crc32c"},
    "points": {"numpy"},
    "nearest": set(),
    # the training side: enters only the formats; who wants an adapter imports it, nobody else does
    "adapters": {"hook", "ignite", "torch", "transformers"},
    "hook": {"formats", "torch"},
    # before training: on its own
    "experiments": {"torch"},
    "__init__": {"experiments", "hook"},
}

FOR_THE_HOOK = {"formats.layerstats", "formats.tfrecord", "formats.wire", "formats.crc"}
"""The formats that load nothing but the standard library (and the CRC wheel if it is there)."""


def room(module: str) -> str:
    """``formats.event`` -> ``formats``; the package itself is ``__init__``."""
    return module.split(".", maxsplit=1)[0] or "__init__"


def modules() -> Iterator[tuple[str, ast.Module]]:
    """(name below ``monitor``, syntax tree) of every module."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    """Absolute names of all imported modules, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def entered(name: str) -> str | None:
    """The room or third-party package that an import enters; None for the standard library."""
    top, _, rest = name.partition(".")
    if top == "monitor":
        inside = rest.split(".")[0]
        return inside if (ROOT / inside).is_dir() or (ROOT / f"{inside}.py").exists() else None
    return None if top in sys.stdlib_module_names else top


def found() -> dict[str, set[str]]:
    """What each room enters."""
    result: dict[str, set[str]] = {}
    for name, tree in modules():
        mine = result.setdefault(room(name), set())
        for imported in imports(tree):
            place = "__init__" if imported == "monitor" else entered(imported)
            if place is not None and place not in (room(name), ""):
                mine.add(place)
    return result


@pytest.mark.parametrize("name", sorted(found()))
def test_a_room_enters_only_what_it_may(name: str) -> None:
    assert name in ALLOWED, f"{name} is a new room: give it a line in ALLOWED"
    assert found()[name] <= ALLOWED[name]


def test_no_line_of_the_table_is_out_of_date() -> None:
    actual = found()
    assert {n: may - actual.get(n, set()) for n, may in ALLOWED.items() if may - actual[n]} == {}


def test_there_is_no_circle_of_rooms() -> None:
    left = {n: {m for m in may if m in ALLOWED} for n, may in ALLOWED.items()}
    left["__init__"].clear()  # enters these only when asked for
    while leaves := {n for n, may in left.items() if not may & left.keys()}:
        left = {n: may for n, may in left.items() if n not in leaves}
    assert left == {}


def targets(tree: ast.Module, names: set[str]) -> set[str]:
    """Modules of ours that a module imports; from a package, the submodules that it names."""
    inside = [i.removeprefix("monitor.") for i in imports(tree) if i.startswith("monitor.")]
    return {
        name
        for name in inside
        if name in names and not any(other.startswith(f"{name}.") for other in inside)
    }


def test_there_is_no_circle_of_modules() -> None:
    names = {name for name, _ in modules()}
    left = {name: targets(tree, names) for name, tree in modules() if name}
    while leaves := {n for n, may in left.items() if not may & left.keys()}:
        left = {n: may for n, may in left.items() if n not in leaves}
    assert left == {}


def test_the_hook_uses_only_formats_without_dependencies() -> None:
    used = {
        imported.removeprefix("monitor.")
        for name, tree in modules()
        if room(name) == "hook"
        for imported in imports(tree)
        if imported.startswith("monitor.formats.") and imported.count(".") == 2
    }
    assert used <= FOR_THE_HOOK
