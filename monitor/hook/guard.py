"""Nothing of ours may end a training run: errors are said once, and the part that failed is off."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

log = logging.getLogger("monitor.hook")


class Guard:
    """Runs the parts of a session so that no error of theirs reaches training."""

    def __init__(self) -> None:
        self.open = True
        """Once closed, nothing runs any more."""
        self.lost: dict[str, str] = {}
        """Facts for the stream: part -> why it is off."""
        self._said: set[str] = set()

    def run(self, part: str, action: Callable[..., None], *args: Any) -> None:
        """``action(*args)`` as part of ``part``; after an error that part stays off."""
        if not self.open or part in self.lost:
            return
        try:
            with torch.no_grad():
                action(*args)
        except Exception as error:  # nothing of ours may end a training run
            text = f"{type(error).__name__}: {error}"
            self.lost[part] = text
            log.warning("%s statistics are off, training goes on: %s", part, text)

    def attempt(self, action: Callable[..., None], *args: Any) -> None:
        """``action(*args)`` with the caller's values: the next ones may be good, so it goes on."""
        if not self.open:
            return
        try:
            with torch.no_grad():
                action(*args)
        except Exception as error:  # nothing of ours may end a training run
            text = f"{type(error).__name__}: {error}"
            if text not in self._said:
                self._said.add(text)
                log.warning("could not log: %s", text)

    def lose(self, text: str) -> None:
        """Something small is not looked at any more: a module, say."""
        self.lost[f"lost.{len(self.lost)}"] = text
        log.warning("not looked at any more, training goes on: %s", text)
