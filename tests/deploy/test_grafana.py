"""The dashboard as far as it can be judged without Grafana, which no package of ours has."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import DEPLOY, call, documents, prometheus, query, tool, until
from tests.events import NAN, Run
from tests.processes import watching

HERE = DEPLOY / "grafana"
FILE = HERE / "dashboards" / "training-health.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTING = documents(HERE / "provisioning" / "alerting" / "training.yaml")[0]
VARIABLES = {"$run": "sick", "$loss": ".*loss.*", "$__rate_interval": "20s"}


def test_the_file_is_what_the_program_writes() -> None:
    assert call(sys.executable, HERE / "dashboard.py") == FILE.read_text()


def test_panels_do_not_overlap_and_have_different_numbers() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_layers_are_a_heat_map_in_viridis_that_clips_nothing() -> None:
    (heat,) = [panel for panel in PANELS if panel["type"] == "heatmap"]
    colour = heat["options"]["color"]
    assert colour["scheme"] == "Viridis"
    assert not {"min", "max"} & colour.keys()
    assert heat["options"]["filterValues"]["le"] < -300  # log10 of the smallest number
    assert heat["targets"][0]["expr"].startswith("log10(")


def test_names_that_refer_to_each_other_agree() -> None:
    (source,) = documents(HERE / "provisioning" / "datasources" / "prometheus.yaml")[0][
        "datasources"
    ]
    rules = ALERTING["groups"][0]["rules"]
    used = {data["datasourceUid"] for rule in rules for data in rule["data"]}
    assert used == {source["uid"], "__expr__"}
    for rule in rules:
        assert rule["noDataState"] == "OK"
        assert rule["condition"] in {data["refId"] for data in rule["data"]}
    shipped = documents(DEPLOY / "prometheus" / "training.rules.yaml")[0]["groups"][0]["rules"][0]
    assert f"/d/{DASHBOARD['uid']}?" in shipped["annotations"]["dashboard"]
    assert rules[0]["data"][0]["model"]["expr"] == shipped["expr"]


def train(logdir: Path) -> None:
    """A real training with the real hook, whose loss becomes NaN."""
    torch = pytest.importorskip("torch")
    import monitor

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    run = Run(logdir)
    with monitor.watch(model, optimizer, logdir=logdir):
        for step in range(30):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 4)).square().mean()
            loss.backward()
            optimizer.step()
            run.log(train__loss=loss.item() if step < 25 else NAN, train__lr=0.01)
    run.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that has scraped a real monitor of a real run."""
    tool("prometheus")
    directory = tmp_path_factory.mktemp("grafana")
    train(directory / "logs" / "sick")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MONITOR_LAYER_METRICS", "grad_norm update_ratio")
        with watching(directory / "logs") as watch:
            target = watch.address.removeprefix("http://")
            config = {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [
                    {"job_name": "training-health", "static_configs": [{"targets": [target]}]}
                ],
            }
            with prometheus(config, directory) as server:
                seen = "count_over_time(training_monitor_ready[1m]) >= 3"
                until(lambda: query(server, seen), "three scrapes")
                yield server


QUERIES = [(panel["title"], each["expr"]) for panel in PANELS for each in panel["targets"]]
QUERIES += [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]
QUERIES += [
    (rule["title"], data["model"]["expr"])
    for rule in ALERTING["groups"][0]["rules"]
    for data in rule["data"]
    if "expr" in data["model"]
]


@pytest.mark.parametrize(("title", "expression"), QUERIES)
def test_every_query_finds_something(address: str, title: str, expression: str) -> None:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    assert query(address, expression)


def test_variables_find_the_run_and_its_loss(address: str) -> None:
    assert {s["metric"]["run"] for s in query(address, "training_run_step")} == {"sick"}
    found = query(address, 'training_scalar{run="sick"}')
    assert "train/loss" in {s["metric"]["tag"] for s in found}


def test_the_run_is_counted_as_what_it_is(address: str) -> None:
    counted = {
        panel["title"]: float(query(address, panel["targets"][0]["expr"])[0]["value"][1])
        for panel in PANELS
        if panel["type"] == "stat"
    }
    assert counted == {"Critical": 1, "Warning": 0, "Info": 0, "Healthy": 0}
