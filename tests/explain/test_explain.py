"""``monitor check --explain``: alerts about scalars, about two series, about silence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from monitor.alerts import Alert, Moment
from monitor.explain import Explained, UnknownName, explain, print_explained
from monitor.formats import layerstats, tfrecord
from monitor.formats.layerstats import Header, Table
from monitor.points import Evidence
from monitor.rules import load, parse
from tests.events import falling, nan_at, write_run
from tests.processes import run as command
from tests.toys import rule

LATER = 4e9
"""Wall times beyond that of the file's first event, which is now."""
RULES = """\
version: 1
groups:
  - name: g
    rules:
      - alert: HighAtSmallRate
        detect: expression
        params: {expr: 'max(train_loss, 5 points) > 1 and learning_rate < 0.05'}
      - alert: High
        detect: threshold
        match: {tag: train/loss}
        params: {above: 1.5}
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("logs")
    rate = [0.1] * 100 + [0.01] * 100
    loss = [2.0 if i in (3, 150) else 0.5 for i in range(200)]
    write_run(root / "two", {"train/loss": loss, "lr": rate}, begin=LATER)
    write_run(root / "sick", {"train/loss": nan_at(40)})
    write_run(root / "well", {"train/loss": falling()})
    return root


def test_the_series_and_what_is_joined_to_it_at_the_alert(logs: Path) -> None:
    (found,) = explain([logs], parse(RULES, "f"), "two", "HighAtSmallRate")
    alert = found.alert
    assert (alert.fired.step, alert.resolved and alert.resolved.step) == (150, 155)
    subject = found.subject
    assert subject is not None
    assert (subject.name, subject.fired, len(subject.steps)) == ("train/loss", 150, 200)
    ((name, rate),) = found.others
    assert name == "lr"
    # As the detector knew it: what was written with the point itself was not there yet.
    assert rate[100] == pytest.approx(0.1)
    assert rate[101] == pytest.approx(0.01)


def test_each_firing_is_told(logs: Path) -> None:
    found = explain([logs], parse(RULES, "f"), "two", "High")
    assert [each.alert.fired.step for each in found] == [3, 150]
    assert [each.subject and each.subject.fired for each in found] == [3, 150]


def test_only_the_attempt_that_fired_is_shown(tmp_path: Path) -> None:
    write_run(tmp_path, {"train/loss": [0.5] * 50}, begin=LATER)
    write_run(tmp_path, {"train/loss": [0.5, 0.5, 2.0, 0.5]}, begin=LATER + 1000)
    (found,) = explain([tmp_path], parse(RULES, "f"), ".", "High")
    assert found.subject is not None
    np.testing.assert_allclose(found.subject.values, [0.5, 0.5, 2.0, 0.5])
    assert found.subject.fired == 2


def test_unknown_names(logs: Path) -> None:
    for name, alert, said in (
        ("sik", "LossDiverging", "no run is called 'sik'; did you mean 'sick'?"),
        ("sick", "LosDiverging", "no rule is called 'LosDiverging'; did you mean 'LossDiverging'?"),
    ):
        with pytest.raises(UnknownName) as caught:
            explain([logs], load(None), name, alert)
        assert said in str(caught.value)
        result = command("check", "--explain", name, alert, logs)
        assert (result.returncode, result.stdout) == (2, "")
        assert said in result.stderr


def test_the_command_shows_sentence_table_and_curve(logs: Path) -> None:
    result = command("check", logs, "--explain", "sick", "NaNWithinFirstSteps")
    assert (result.returncode, result.stderr) == (1, "")
    text = result.stdout
    for word in ("became NaN", "was 1.1 at step 39", "< fired", "not finite", "linear scale", "▲"):
        assert word in text
    assert "\x1b" not in text  # no colours where there is no terminal
    assert "sick: " in text
    assert "well" not in text


def test_an_alert_that_did_not_fire(logs: Path) -> None:
    result = command("check", logs, "--explain", "well", "LossDiverging")
    assert (result.returncode, result.stdout) == (0, "LossDiverging did not fire in well\n")


def test_json_is_not_for_explanations(logs: Path) -> None:
    result = command("check", logs, "--explain", "well", "LossDiverging", "--format", "json")
    assert (result.returncode, result.stdout) == (2, "")
    assert "leave --format json out" in result.stderr


def test_silence_has_no_curve() -> None:
    moment = Moment(3, 3, 3.0)
    evidence = Evidence(1.0, "nothing logged", facts={"limit": "10 min"})
    alert = Alert(rule("RunStalled"), "run", "(events)", 3, moment, None, evidence)
    console = Console(file=io.StringIO(), width=100)
    print_explained(console, [Explained(alert, None)])
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "limit: 10 min" in text
    assert "no curve to show" in text


def test_many_firings_are_counted(logs: Path) -> None:
    (found,) = explain([logs], parse(RULES, "f"), "two", "HighAtSmallRate")
    console = Console(file=io.StringIO(), width=60)
    print_explained(console, [found] * 5)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "and 2 more times" in text
    assert text.count("the whole attempt") == 3


def test_layers_are_shown_the_worst_first(tmp_path: Path) -> None:
    table = Table(("rms",), ("fc1", "fc2", "fc3"), ("Linear",) * 3, ((),) * 3, ("",) * 3)
    payloads = [layerstats.encode_header(Header(1, {"modules": table}), 0, LATER)]
    for step in range(30):
        column = np.array([[1.0], [1.0 + (step >= 20)], [1.0 + 8 * (step >= 20)]], "<f4")
        content = {"modules": (3, 1, column.tobytes())}
        payloads.append(layerstats.encode_frame(step, LATER + step, 1, content, {}))
    file = tmp_path / "events.out.tfevents.1.host.monitor"
    file.write_bytes(b"".join(map(tfrecord.encode, payloads)))
    rules = parse(
        "version: 1\ngroups: [{name: g, rules: [{alert: Wide, detect: threshold,"
        " match: {stat: rms}, params: {above: 1.5}}]}]",
        "f",
    )
    (found,) = explain([tmp_path], rules, ".", "Wide")
    assert found.subject is not None
    assert (found.subject.name, found.subject.fired) == ("fc3", 20)
    assert [(name, values[19:21].tolist()) for name, values in found.others] == [("fc2", [1, 2])]
