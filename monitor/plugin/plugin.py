"""What TensorBoard loads: named by the entry point ``tensorboard_plugins``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tensorboard.plugins import base_plugin

from monitor.plugin.companion import Companion
from monitor.plugin.proxy import Proxy, Start

PAGE = "/page"
MODULE = b"""\
export function render() {
  const frame = document.createElement("iframe");
  frame.title = "Training health";
  frame.src = new URL("./page/", import.meta.url).href;
  const whole = { border: "0", position: "fixed", inset: "0", width: "100%", height: "100%" };
  Object.assign(frame.style, whole);
  document.body.append(frame);
}
"""


class HealthPlugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """The tab "Health"."""

    plugin_name = "training_health"

    def __init__(self, context: Any) -> None:
        """``context``: TensorBoard's, which knows the log directories."""
        super().__init__(context)
        self._companion = Companion(logdirs(context))

    def get_plugin_apps(self) -> dict[str, Callable[..., Iterable[bytes]]]:
        """The module that makes the tab, and the page in it."""
        proxy = Proxy(self._companion, f"{self.plugin_name}{PAGE}")
        # TensorBoard strips the slash off the page's own address before it compares.
        return {"/index.js": _module, PAGE: proxy, f"{PAGE}/*": proxy}

    def is_active(self) -> bool:
        """Always: a directory without runs has a page that says so."""
        return True

    def frontend_metadata(self) -> Any:
        """The page updates itself."""
        return base_plugin.FrontendMetadata(
            es_module_path="/index.js", tab_name="Health", disable_reload=True
        )


def logdirs(context: Any) -> list[str]:
    """What ``--logdir`` or ``--logdir_spec`` name."""
    flags = getattr(context, "flags", None)
    spec = getattr(flags, "logdir_spec", "") or ""
    if spec:
        return [_path(part) for part in spec.split(",") if part]
    found = context.logdir or getattr(flags, "logdir", "") or ""
    return [found] if found else []


def _path(part: str) -> str:
    """``name:path`` without its name; an address keeps its scheme."""
    name, colon, path = part.partition(":")
    return path if colon and not path.startswith("//") and "/" not in name else part


def _module(_: dict[str, Any], start: Start) -> list[bytes]:
    headers = [("Content-Type", "application/javascript"), ("X-Content-Type-Options", "nosniff")]
    start("200 OK", headers)
    return [MODULE]
