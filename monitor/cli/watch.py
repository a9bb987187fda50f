"""``monitor watch``."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog
from rich.console import Console

from monitor import __version__
from monitor.cli.common import LOGDIRS, RULES, existing, load_rules, unusable
from monitor.pictures import available
from monitor.rules import RulesInvalid
from monitor.rules.model import Unit
from monitor.rules.spans import ZERO, parse_span

if TYPE_CHECKING:
    from monitor.webconfig import WebConfig


@click.command()
@LOGDIRS
@RULES
@click.option(
    "--listen",
    default="127.0.0.1:6016",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the page, /metrics and the API are served; port 0 takes a free one.",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to note what has been told, so that a restart repeats nothing.",
)
@click.option(
    "--slack",
    is_flag=True,
    help="Send messages to the webhook in MONITOR_SLACK_WEBHOOK_URL (or ..._FILE).",
)
@click.option("--alertmanager", metavar="URL", help="Tell this Alertmanager of the alerts.")
@click.option(
    "--annotate",
    is_flag=True,
    help="Write alerts beside the logs, into RUN/alerts, for TensorBoard's Text tab.",
)
@click.option(
    "--web-config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TLS and passwords, in the form of Prometheus' web configuration files.",
)
@click.option(
    "--external-url",
    metavar="URL",
    help="Where people reach this monitor; links in messages lead there. If it begins with "
    "https:// Slack messages show pictures, which Slack fetches from there.",
)
@click.option(
    "--exit-when-idle",
    metavar="DURATION",
    help="End, with status 0, when nothing was written to any run for so long: 30m, 2h.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default=None,
    help="Write logs even on a terminal. Without a terminal: text.",
)
def watch(
    logdirs: tuple[str, ...],
    rules: Path | None,
    listen: str,
    state_dir: Path | None,
    slack: bool,
    alertmanager: str | None,
    annotate: bool,
    web_config: Path | None,
    external_url: str | None,
    exit_when_idle: str | None,
    log_format: str | None,
) -> None:
    """Follow LOGDIR for ever; SIGTERM ends it, SIGHUP reloads the rules.

    LOGDIR is a directory, an event file, or a URL: s3://bucket/prefix, gs://..., az://...
    """
    from monitor.daemon import Daemon, Settings
    from monitor.delivery import Delivery
    from monitor.sinks import UnusableError
    from monitor.sinks.log import LogSink
    from monitor.terminal import LiveScreen, PlainScreen
    from monitor.web import ListenError, bind, serving

    roots = existing(logdirs)
    rule_set = load_rules(rules)
    web = _web_config(web_config)
    host, port = _address(listen)
    idle = None if exit_when_idle is None else _duration("--exit-when-idle", exit_when_idle)
    try:
        listener = bind(host, port)
        scheme = "https" if web and web.context else "http"
        name = f"[{host}]" if ":" in host else host
        address = f"{scheme}://{name}:{listener.getsockname()[1]}"
        # Slack, which fetches them, knows no password.
        fetched = external_url is not None and external_url.startswith("https://")
        delivery = Delivery(
            state_dir,
            slack,
            alertmanager,
            external_url or address,
            os.environ,
            pictures=fetched and available() and not (web and web.users),
            annotate=annotate,
            near=f"{address}/" if scheme == "http" else None,
        )
    except (ListenError, UnusableError) as error:
        raise unusable(str(error)) from error
    console = Console()
    live = console.is_terminal and log_format is None
    log = _logger(log_format or "text", quiet=live)
    title = f"monitor {__version__}  {' '.join(map(str, logdirs))}  {address}/"
    screen = LiveScreen(console, title) if live else PlainScreen()
    settings = Settings(roots, rules, _layer_stats(), idle)
    sinks = [] if live else [LogSink(log)]
    daemon = Daemon(settings, rule_set, log, sinks, screen, delivery.ledger)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    signal.signal(signal.SIGHUP, lambda *_: daemon.request_reload())
    log.info("listening", address=address, version=__version__, rules=len(rule_set.rules))
    with serving(daemon.door, listener, web), delivery.running(daemon, log):
        if isinstance(screen, LiveScreen):
            with screen:
                daemon.run()
        else:
            daemon.run()


def _web_config(path: Path | None) -> WebConfig | None:
    from monitor.webconfig import load_web_config

    try:
        return None if path is None else load_web_config(path)
    except RulesInvalid as error:
        raise unusable("unusable web configuration\n" + str(error)) from error
    except OSError as error:
        raise unusable(f"cannot read {path}: {error.strerror}") from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise unusable(f"--listen {text!r}: expected HOST:PORT, for example 127.0.0.1:6016")
    return host.strip("[]"), int(port)


def _duration(option: str, text: str) -> float:
    """Seconds."""
    try:
        span = parse_span(text)
    except ValueError:
        span = ZERO
    if span.unit is not Unit.SECONDS or span.amount <= 0:
        raise unusable(f"{option} {text!r}: expected a duration, for example 30m or 1h30m")
    return span.amount


def _layer_stats() -> frozenset[str]:
    return frozenset(os.environ.get("MONITOR_LAYER_METRICS", "").replace(",", " ").split())


def _logger(form: str, quiet: bool) -> Any:
    """A structlog logger on standard error; only errors of it are shown when ``quiet``."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.processors.LogfmtRenderer(key_order=["time", "level", "event"])
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.ERROR if quiet else logging.INFO
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()
