"""Writes the dashboard; ``python dashboard.py > dashboards/training-health.json``, here.

Needs Python alone. A test compares the file with what this writes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

Json = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RUN = 'run="$run"'
WIDTH = 24


def target(expression: str, legend: str = "", *, instant: bool = False, letter: str = "A") -> Json:
    """A query; over the time shown unless ``instant``."""
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": expression,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
        **({"format": "table"} if instant and not legend else {}),
    }


def panel(kind: str, title: str, size: tuple[int, int], targets: list[Json], **more: Any) -> Json:
    """A panel of (width, height); its place is found by ``placed``."""
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"w": size[0], "h": size[1]},
        "targets": targets,
        "fieldConfig": more.pop("fieldConfig", {"defaults": {}, "overrides": []}),
        "options": more.pop("options", {}),
        **more,
    }


def row(title: str) -> Json:
    """A heading."""
    return {
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"w": WIDTH, "h": 1},
    }


def curve(title: str, targets: list[Json], *, log: bool = False, width: int = 12) -> Json:
    """Lines over time; no axis has a fixed end, so that nothing is clipped."""
    scale = {"type": "log", "log": 10} if log else {"type": "linear"}
    custom = {"lineWidth": 1, "fillOpacity": 0, "spanNulls": False, "scaleDistribution": scale}
    defaults = {"custom": custom}
    return panel(
        "timeseries",
        title,
        (width, 9),
        targets,
        fieldConfig={"defaults": defaults, "overrides": []},
        options={"legend": {"displayMode": "list"}, "tooltip": {"mode": "multi"}},
    )


def number(title: str, expression: str, colour: str) -> Json:
    """One number in a colour, grey if it is 0."""
    steps = [{"color": "text", "value": None}, {"color": colour, "value": 1}]
    defaults = {"thresholds": {"mode": "absolute", "steps": steps}, "decimals": 0}
    return panel(
        "stat",
        title,
        (6, 4),
        [target(expression, title, instant=True)],
        fieldConfig={"defaults": defaults, "overrides": []},
        options={
            "colorMode": "value",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        },
    )


def runs_with(severity: str) -> str:
    """Number of runs whose worst alert has this severity."""
    worse = {"critical": "", "warning": "critical", "info": "critical|warning"}[severity]
    sick = f'max by (run) (training_alert_active{{severity="{severity}"}}) == 1'
    if worse:
        worst = f'max by (run) (training_alert_active{{severity=~"{worse}"}}) == 1'
        sick = f"({sick}) unless on (run) ({worst})"
    return f"count({sick}) or vector(0)"


def fleet() -> list[Json]:
    """Runs by health."""
    link = {"title": "Show the run", "url": "/d/training-health?var-run=${__data.fields.run}"}
    overrides = [
        {
            "matcher": {"id": "byName", "options": "run"},
            "properties": [{"id": "links", "value": [link]}],
        }
    ]
    hidden = {"excludeByName": {"Time": True, "__name__": True, "instance": True, "job": True}}
    return [
        row("All runs"),
        number("Critical", runs_with("critical"), "red"),
        number("Warning", runs_with("warning"), "orange"),
        number("Info", runs_with("info"), "blue"),
        number("Healthy", "count(max by (run) (training_alert_active) == 0) or vector(0)", "green"),
        panel(
            "table",
            "Alerts firing",
            (12, 8),
            [target("training_alert_active == 1", instant=True)],
            fieldConfig={"defaults": {}, "overrides": overrides},
            transformations=[{"id": "organize", "options": hidden}],
        ),
        panel(
            "state-timeline",
            "Worst alert of each run",
            (12, 8),
            [
                target(
                    '(3 * (max by (run) (training_alert_active{severity="critical"}) == 1)) '
                    'or (2 * (max by (run) (training_alert_active{severity="warning"}) == 1)) '
                    "or (max by (run) (training_alert_active))",
                    "{{run}}",
                )
            ],
            fieldConfig={
                "defaults": {
                    "mappings": [
                        {
                            "type": "value",
                            "options": {
                                "0": {"text": "healthy", "color": "green"},
                                "1": {"text": "info", "color": "blue"},
                                "2": {"text": "warning", "color": "orange"},
                                "3": {"text": "critical", "color": "red"},
                            },
                        }
                    ]
                },
                "overrides": [],
            },
        ),
        panel(
            "bargauge",
            "Seconds since the last event",
            (WIDTH, 6),
            [
                target(
                    "time() - max by (run) (training_run_last_event_timestamp_seconds)",
                    "{{run}}",
                    instant=True,
                )
            ],
            fieldConfig={"defaults": {"unit": "s", "min": 0}, "overrides": []},
            options={"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}},
        ),
    ]


def layers() -> Json:
    """Gradient norms, a row for each layer. Colour is the logarithm, over all that is shown.

    The field's own minimum and maximum end the scale; a fixed end would clip what matters most.
    A norm of 0 has no logarithm and stays blank.
    """
    return panel(
        "heatmap",
        "Gradient norm by layer, log10",
        (WIDTH, 14),
        [
            {
                **target(f"log10(training_layer_grad_norm{{{RUN}}} > 0)", "{{layer}}"),
                "format": "time_series",
            }
        ],
        options={
            "calculate": False,
            # Grafana hides cells up to 1e-9 unless told otherwise: every norm below 1.
            "filterValues": {"le": -1000},
            "color": {"mode": "scheme", "scheme": "Viridis", "steps": 128, "scale": "linear"},
            "rowsFrame": {"layout": "auto", "value": "log10 of the norm"},
            "cellGap": 0,
            "legend": {"show": True},
            "tooltip": {"mode": "single"},
            "yAxis": {"axisPlacement": "left", "reverse": True},
        },
    )


def one_run() -> list[Json]:
    """The run that is chosen."""
    tag = "$loss"
    return [
        row("Run $run"),
        curve("Loss", [target(f'training_scalar{{{RUN},tag=~"{tag}"}}', "{{tag}}")], log=True),
        curve(
            "Learning rate",
            [target(f'training_scalar{{{RUN},tag=~"(?i).*(lr|learning_rate).*"}}', "{{tag}}")],
        ),
        curve("Step", [target(f"training_run_step{{{RUN}}}", "step")]),
        curve("Alerts", [target(f"training_alert_active{{{RUN}}}", "{{alert}}")]),
        layers(),
        curve(
            "Largest, middle and smallest gradient norm",
            [
                target(f"max(training_layer_grad_norm{{{RUN}}})", "largest"),
                target(f"quantile(0.5, training_layer_grad_norm{{{RUN}}})", "middle", letter="B"),
                target(f"min(training_layer_grad_norm{{{RUN}}})", "smallest", letter="C"),
            ],
            log=True,
        ),
        curve(
            "Update ratio by layer",
            [target(f"training_layer_update_ratio{{{RUN}}}", "{{layer}}")],
            log=True,
        ),
    ]


def monitor() -> list[Json]:
    """Whether the monitor itself is well."""
    seconds = "training_monitor_evaluation_seconds"
    return [
        row("The monitor"),
        curve("Lag", [target("training_monitor_lag_seconds", "{{instance}}")], width=8),
        curve(
            "Records per second",
            [target("rate(training_monitor_records_total[$__rate_interval])", "{{instance}}")],
            width=8,
        ),
        curve(
            "Mean time of an evaluation",
            [
                target(
                    f"rate({seconds}_sum[$__rate_interval])"
                    f" / rate({seconds}_count[$__rate_interval])",
                    "{{instance}}",
                )
            ],
            width=8,
        ),
    ]


def placed(panels: list[Json]) -> list[Json]:
    """The panels from left to right, in as many lines as they need."""
    x = y = tallest = 0
    for number_, each in enumerate(panels, 1):
        at = each["gridPos"]
        if x + at["w"] > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        at.update(x=x, y=y)
        each["id"] = number_
        x, tallest = x + at["w"], max(tallest, at["h"])
    return panels


def variable(name: str, expression: str, **more: Any) -> Json:
    """A choice among what a query finds."""
    return {
        "type": "query",
        "name": name,
        "datasource": SOURCE,
        "refresh": 2,
        "sort": 1,
        "query": {"query": expression, "refId": name},
        "definition": expression,
        **more,
    }


def dashboard() -> Json:
    """The whole."""
    losses = variable(
        "loss",
        'label_values(training_scalar{run="$run"}, tag)',
        regex="/(?i)loss/",
        multi=True,
        includeAll=True,
    )
    return {
        "uid": "training-health",
        "title": "Training health",
        "tags": ["training"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "query": "prometheus"},
                variable("run", "label_values(training_run_step, run)"),
                losses,
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "enable": True,
                    "datasource": SOURCE,
                    "expr": f"training_alert_active{{{RUN}}} == 1",
                    "titleFormat": "{{alert}}",
                    "tagKeys": "severity",
                    "iconColor": "red",
                }
            ]
        },
        "panels": placed([*fleet(), *one_run(), *monitor()]),
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2)
    sys.stdout.write("\n")
