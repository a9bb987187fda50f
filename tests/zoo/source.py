"""What a recipe's outcome hangs on: its code and that of everything of ours that it names."""

from __future__ import annotations

import hashlib
import inspect
import types
from collections.abc import Iterator
from pathlib import Path

import torch

import monitor
from tests.zoo import clock, loop, script
from tests.zoo.kinds import Kind

_OURS = "tests.zoo"
_PLAIN = (bool, int, float, str, tuple, frozenset)


def fingerprint(kind: Kind) -> str:
    """Changes when a run of this kind would come out otherwise; comments count, too."""
    digest = hashlib.sha256(torch.__version__.encode())
    for module in (clock, loop, script):
        digest.update(inspect.getsource(module).encode())
    for text in sorted(_texts(kind.recipe, set())):
        digest.update(text.encode())
    if kind.hook:
        package = Path(monitor.__file__).parent
        for file in (*sorted((package / "hook").glob("*.py")), package / "formats/layerstats.py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _texts(thing: object, seen: set[object]) -> Iterator[str]:
    """The source of a function or class and, following names, of what it uses."""
    if not isinstance(thing, (types.FunctionType, type)) or thing in seen:
        return
    if not thing.__module__.startswith(_OURS):
        return
    seen.add(thing)
    yield inspect.getsource(thing)
    parts = [thing] if isinstance(thing, types.FunctionType) else list(vars(thing).values())
    for part in parts:
        if not isinstance(part, types.FunctionType):
            continue
        written = inspect.unwrap(part)  # torch wraps an optimizer's step once there is one
        for name in set(_names(written.__code__)):
            used = written.__globals__.get(name)
            if isinstance(used, types.ModuleType) and used.__name__.startswith(_OURS):
                yield inspect.getsource(used)
            elif isinstance(used, _PLAIN):
                yield f"{name}={used!r}"
            else:
                yield from _texts(used, seen)


def _names(code: types.CodeType) -> Iterator[str]:
    """Global names that it reads, those in functions within it, too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
