"""The command line. No logic: arguments in, an exit status out."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog
from rich.console import Console

from monitor import __version__
from monitor.pictures import KINDS, MISSING, available
from monitor.rules import RuleSet, RulesInvalid, Severity, default_path, json_schema, load
from monitor.rules.model import Unit
from monitor.rules.spans import ZERO, parse_span

if TYPE_CHECKING:
    from monitor.alerts import Alert
    from monitor.follower import Follower
    from monitor.ruletests import Tests
    from monitor.sources.scan import Root
    from monitor.webconfig import WebConfig

UNUSABLE = 2

_LOGDIRS = click.argument("logdirs", nargs=-1, required=True, metavar="LOGDIR...")
_RULES = click.option(
    "--rules",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Rule file. Default: the rules that come with the monitor.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="monitor")
def main() -> None:
    """Watches training runs through their TensorBoard event files and says what is wrong."""


@main.command()
@_LOGDIRS
@_RULES
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

    roots = _existing(logdirs)
    rule_set = _load(rules)
    web = _web_config(web_config)
    host, port = _address(listen)
    idle = None if exit_when_idle is None else _duration("--exit-when-idle", exit_when_idle)
    try:
        listener = bind(host, port)
        scheme = "https" if web and web.context else "http"
        name = f"[{host}]" if ":" in host else host
        address = f"{scheme}://{name}:{listener.getsockname()[1]}"
        link = external_url or address
        # Slack, which fetches them, knows no password.
        pictures = available() and link.startswith("https://") and external_url is not None
        delivery = Delivery(
            *(state_dir, slack, alertmanager, link, os.environ),
            pictures=pictures and not (web and web.users),
            annotate=annotate,
            near=f"{address}/" if scheme == "http" else None,
        )
    except (ListenError, UnusableError) as error:
        raise _unusable(str(error)) from error
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


@main.command()
@_LOGDIRS
@_RULES
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one array, in firing order.",
)
@click.option(
    "--fail-on",
    type=click.Choice([s.label for s in Severity]),
    default="warning",
    show_default=True,
    help="Exit with 1 if an alert at least this severe fired.",
)
@click.option(
    "--explain",
    nargs=2,
    metavar="RUN ALERT",
    help="Print only why ALERT fired in RUN: the numbers seen and the curve.",
)
def check(
    logdirs: tuple[str, ...],
    rules: Path | None,
    output: str,
    fail_on: str,
    explain: tuple[str, str] | None,
) -> None:
    """Replay what is in LOGDIR and print the alerts.

    LOGDIR is a directory, an event file, or a URL: s3://bucket/prefix, gs://..., az://...

    Exit status: 0 nothing fired, 1 something did, 2 unusable arguments or rules.
    """
    from monitor.follower import Follower
    from monitor.notices import document
    from monitor.terminal import print_alerts

    roots = _existing(logdirs)
    if explain is not None:
        if output == "json":
            raise _unusable("--explain is for people: leave --format json out")
        _exit(_explain(roots, _load(rules), *explain), fail_on)
        return
    follower = Follower(roots, _load(rules))
    _catch_up(follower)
    _tell_problems(follower)
    alerts = follower.alerts()
    if output == "json":
        click.echo(json.dumps([document(a) for a in alerts], indent=2, allow_nan=False))
    else:
        print_alerts(Console(), alerts, len(follower.views))
    _exit(alerts, fail_on)


@main.command()
@_LOGDIRS
@_RULES
def top(logdirs: tuple[str, ...], rules: Path | None) -> None:
    """Follow LOGDIR at the terminal: all runs, the sick ones first.

    Keys: q quits, arrows or j and k move, enter shows a run's alerts, / filters, s sorts.
    Without a terminal a line for each run is printed once.
    """
    from monitor.follower import Follower
    from monitor.following import follow
    from monitor.terminal import run_lines

    follower = Follower(_existing(logdirs), _load(rules))
    _catch_up(follower)
    console = Console()
    if console.is_terminal and not console.is_dumb_terminal:
        follow(follower, console, f"monitor {__version__}  {' '.join(map(str, logdirs))}")
    else:
        click.echo("\n".join(run_lines(list(follower.views.values()))))
    _tell_problems(follower)


@main.command()
@_LOGDIRS
@_RULES
@click.option("--run", metavar="RUN", help="The run to draw; needed where there are several.")
@click.option("--tag", metavar="TAG", help="The series to draw. Default: the loss.")
@click.option("--alert", metavar="ALERT", help="Draw what this alert of the run is about.")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="FILE.png, FILE.svg, or - for stdout."
)
@click.option(
    "--format", "kind", type=click.Choice(KINDS), help="Default: what FILE ends with, or png."
)
def plot(
    logdirs: tuple[str, ...],
    rules: Path | None,
    run: str | None,
    tag: str | None,
    alert: str | None,
    output: str,
    kind: str | None,
) -> None:
    """Draw a run in LOGDIR: loss with alerts, the layers that they are about, learning rate.

    Needs matplotlib: pip install 'training-health-monitor[plot]'.
    """
    if not available():
        raise _unusable(MISSING)
    ending = Path(output).suffix.removeprefix(".").lower()
    if kind is None and output != "-" and ending not in KINDS:
        raise _unusable(f"-o {output}: expected a name that ends with .png or .svg")
    from monitor.pictures.figure import draw
    from monitor.pictures.gather import UnknownName, gather

    roots, rule_set = _existing(logdirs), _load(rules)
    try:
        drawn = draw(gather(roots, rule_set, run, tag, alert), kind or ending or "png")
    except UnknownName as error:
        raise _unusable(str(error)) from error
    try:
        with click.open_file(output, "wb") as file:
            file.write(drawn)
    except OSError as error:
        raise _unusable(f"cannot write {output}: {error.strerror}") from error


@main.group()
def rules() -> None:
    """Look at rule files."""


@rules.command("check")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def rules_check(file: Path | None) -> None:
    """Say everything that is wrong in FILE (default: the built-in rules)."""
    rule_set = _load(file)
    click.echo(f"{file or default_path()}: {len(rule_set.rules)} rules, all good")


@rules.command("test")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(dir_okay=False, path_type=Path),
)
def rules_test(files: tuple[Path, ...]) -> None:
    """Run the tests of rules in FILE.

    Exit status: 0 all came out as expected, 1 some did not, 2 unusable tests or rules.
    """
    from monitor.ruletests import run

    read = [(file, _load_tests(file)) for file in files]
    failed = 0
    for file, tests in read:
        for case in tests.cases:
            failures = run(case, tests.rules)
            failed += bool(failures)
            click.echo(f"{'FAILED' if failures else 'ok':<7} {case.section.name}")
            for failure in failures:
                click.echo(f"  {file}:{failure.line}:{failure.column}: {failure.message}")
    total = sum(len(tests.cases) for _, tests in read)
    click.echo(f"{total - failed} of {total} tests passed")
    if failed:
        sys.exit(1)


@rules.command("list")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def rules_list(file: Path | None) -> None:
    """List the rules of FILE (default: the built-in rules)."""
    for rule in _load(file).rules:
        click.echo(
            f"{rule.alert:<28} {rule.severity.label:<9} {rule.detector.name:<20} {rule.group}"
        )


@rules.command("schema")
def rules_schema() -> None:
    """Print the JSON schema of rule files."""
    click.echo(json.dumps(json_schema(), indent=2))


@main.command()
@click.option("--keep", is_flag=True, help="Go on serving when the runs are over.")
def demo(keep: bool) -> None:
    """Train five small networks, four of them sick, with the monitor beside them."""
    from monitor.demo import run

    sys.exit(run(keep=keep))


def _unusable(message: str) -> SystemExit:
    click.echo(f"monitor: {message}", err=True)
    return SystemExit(UNUSABLE)


def _existing(logdirs: Sequence[str]) -> tuple[Root, ...]:
    from monitor.sources.scan import problem, root_of

    roots = tuple(map(root_of, logdirs))
    found = [text for text in map(problem, roots) if text is not None]
    if found:
        raise _unusable("\nmonitor: ".join(found))
    return roots


def _load(path: Path | None) -> RuleSet:
    try:
        return load(path)
    except RulesInvalid as error:
        raise _unusable("unusable rules\n" + str(error)) from error
    except OSError as error:
        raise _unusable(f"cannot read the rules {path}: {error.strerror}") from error


def _web_config(path: Path | None) -> WebConfig | None:
    from monitor.webconfig import load_web_config

    try:
        return None if path is None else load_web_config(path)
    except RulesInvalid as error:
        raise _unusable("unusable web configuration\n" + str(error)) from error
    except OSError as error:
        raise _unusable(f"cannot read {path}: {error.strerror}") from error


def _catch_up(follower: Follower) -> None:
    """Reads all that is there, with a progress bar for people."""
    from monitor.terminal import reading

    errors = Console(stderr=True)
    if errors.is_terminal:
        with reading(errors) as bar:
            task = bar.add_task("reading", total=None)
            follower.catch_up(
                lambda done, left: bar.update(task, completed=done, total=done + left),
                final=True,
                share=1.0,
            )
    else:
        follower.catch_up(final=True, share=1.0)


def _tell_problems(follower: Follower) -> None:
    """What could not be read or judged."""
    for problem in follower.dirs.problems.values():
        click.echo(f"monitor: {problem}", err=True)
    for alert, problem in follower.engine.failures.items():
        click.echo(f"monitor: rule {alert} failed, please report this: {problem}", err=True)
    stats = follower.dirs.stats
    if stats.corrupt_records or stats.unusable_events:
        click.echo(
            f"monitor: skipped {stats.corrupt_records} corrupt stretches and "
            f"{stats.unusable_events} unusable events",
            err=True,
        )


def _explain(logdirs: Sequence[Root], rules: RuleSet, run: str, alert: str) -> list[Alert]:
    """Prints why an alert fired; the alerts that were explained."""
    from monitor.explain import UnknownName, explain, print_explained

    try:
        found = explain(logdirs, rules, run, alert)
    except UnknownName as error:
        raise _unusable(str(error)) from error
    if not found:
        click.echo(f"{alert} did not fire in {run}")
    print_explained(Console(), found)
    return [each.alert for each in found]


def _exit(alerts: Sequence[Alert], fail_on: str) -> None:
    """With 1 if one of them is at least that severe."""
    worst = max((alert.rule.severity for alert in alerts), default=None)
    if worst is not None and worst >= Severity[fail_on.upper()]:
        sys.exit(1)


def _load_tests(path: Path) -> Tests:
    from monitor.ruletests import load_tests

    try:
        return load_tests(path)
    except RulesInvalid as error:
        raise _unusable("unusable tests\n" + str(error)) from error
    except OSError as error:
        raise _unusable(f"cannot read {error.filename}: {error.strerror}") from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise _unusable(f"--listen {text!r}: expected HOST:PORT, for example 127.0.0.1:6016")
    return host.strip("[]"), int(port)


def _duration(option: str, text: str) -> float:
    """Seconds."""
    try:
        span = parse_span(text)
    except ValueError:
        span = ZERO
    if span.unit is not Unit.SECONDS or span.amount <= 0:
        raise _unusable(f"{option} {text!r}: expected a duration, for example 30m or 1h30m")
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
