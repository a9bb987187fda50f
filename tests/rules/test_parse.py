"""Rule files: what good ones mean, and what bad ones are told."""

# ruff: noqa: E501 - a message is read in one piece

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.points import Layers
from monitor.rules import (
    Inhibition,
    Match,
    Rule,
    RuleSet,
    RulesInvalid,
    Severity,
    Span,
    Unit,
    parse,
)
from tests.rules.fakes import FAKES, Above

HEAD = "version: 1\ngroups:\n  - name: g\n    rules:\n"


def rules(body: str) -> str:
    """A file with these rules; their first line is line 5, and they are indented by 6."""
    return HEAD + "".join(f"      {line}\n" for line in body.splitlines())


def errors(text: str) -> list[str]:
    with pytest.raises(RulesInvalid) as caught:
        parse(text, "f", FAKES)
    return [str(error).removeprefix("f:") for error in caught.value.errors]


def only(body: str) -> Rule:
    (rule,) = parse(rules(body), "f", FAKES).rules
    return rule


# --- good files -----------------------------------------------------------------------------


def test_a_rule_with_everything() -> None:
    text = """\
version: 1
roles:
  mine: ['x*', '/^y/']
groups:
  - name: g
    rules:
      - alert: Thing
        detect: above
        match: {role: [mine, train_*], tag: a*, run: /^r/}
        params:
          limit: 1e-3
          within: 50 steps
          window: 20
          pause: 1h30m
          strict: true
          label: hello
          side: down
          cap: null
        for: 3 points
        keep_firing_for: 5m
        labels: {severity: critical, team: ml}
        annotations:
          summary: "{{ run }} {{ height }}"
          advice: do
          runbook_url: https://example.org
inhibit:
  - {source: {alert: Thing}, target: {severity: [warning, info], team: ml}}
"""
    found = parse(text, "f", FAKES)
    (rule,) = found.rules
    assert rule.detector == Above(
        limit=0.001, within=50, window=20, pause=5400.0, strict=True, label="hello", side="down"
    )
    assert (rule.alert, rule.group, rule.severity) == ("Thing", "g", Severity.CRITICAL)
    assert (rule.hold, rule.keep_firing_for) == (Span(3, Unit.POINTS), Span(300, Unit.SECONDS))
    assert rule.labels == {"severity": "critical", "team": "ml"}
    assert (rule.summary, rule.advice) == ("{{ run }} {{ height }}", "do")
    assert rule.runbook_url == "https://example.org"
    assert found.inhibitions == (
        Inhibition({"alert": ("Thing",)}, {"severity": ("warning", "info"), "team": ("ml",)}, ("run",)),
    )  # fmt: skip
    assert found.roles.of("r", "X1") == found.roles.of("r", "y") == {"mine"}
    assert rule.match.series("r1", "A-tag", frozenset({"mine"}), False)
    assert not rule.match.series("r1", "b", frozenset({"mine"}), False)
    assert not rule.match.series("x/r", "a", frozenset({"mine"}), False)


def test_a_rule_with_nothing_has_defaults() -> None:
    rule = only("- alert: A\n  detect: above")
    assert rule.detector == Above()
    assert rule.severity is Severity.WARNING
    assert rule.labels == {"severity": "warning"}
    assert (rule.hold, rule.keep_firing_for) == (Span(0, Unit.STEPS), Span(0, Unit.STEPS))
    assert rule.summary == "{{ run }}: {{ seen }}"
    assert rule.match.series("run", "any", frozenset({"train_loss"}), False)
    assert not rule.match.series("run", "any", frozenset({"val_loss"}), False)


def test_globs_mean_the_whole_name_and_regexes_search() -> None:
    glob = only("- alert: A\n  detect: flat\n  match: {tag: '*Loss'}").match
    assert glob.series("r", "train/loss", frozenset(), False)
    assert not glob.series("r", "loss/train", frozenset(), False)
    regex = only("- alert: A\n  detect: flat\n  match: {tag: /loss/}").match
    assert regex.series("r", "a loss/train", frozenset(), False)
    assert not regex.series("r", "LOSS", frozenset(), False)


def test_a_rule_that_names_tags_is_not_bound_to_the_detectors_role() -> None:
    match = only("- alert: A\n  detect: above\n  match: {tag: mine}").match
    assert match.series("r", "mine", frozenset(), False)
    assert only("- alert: A\n  detect: above\n  match: {run: x}").match.role is not None


def test_a_rule_that_names_layers_keeps_the_detectors_stat() -> None:
    match = only(
        "- alert: A\n  detect: small\n  match: {layer: 'block*', layer_kind: linear}"
    ).match
    assert match.series("r", "layer/grad_norm", frozenset(), True)
    assert not match.series("r", "layer/weight_norm", frozenset(), True)
    layers = Layers(("block1", "head", "block2"), ("Linear", "Linear", "ReLU"))
    assert match.columns(layers).tolist() == [True, False, False]


def test_a_rule_that_is_not_enabled_is_left_out_but_known() -> None:
    text = rules("- alert: A\n  detect: above\n  enabled: false\n- alert: B\n  detect: flat")
    text += "inhibit:\n  - {source: {alert: A}, target: {alert: B}, equal: [run, severity]}\n"
    found = parse(text, "f", FAKES)
    assert [rule.alert for rule in found.rules] == ["B"]
    assert found.inhibitions[0].equal == ("run", "severity")


def test_pulse_detectors_match_everything_unless_told() -> None:
    assert only("- alert: A\n  detect: silent").match == Match()
    assert only("- alert: A\n  detect: silent\n  match: {run: a}").match.run is not None


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("within: 50", Above(within=50)),
        ("within: '50'", Above(within=50)),
        ("within: 1e2", Above(within=100)),
        ("within: 0", Above(within=0)),
        ("window: 50 points", Above(window=50)),
        ("pause: 90s", Above(pause=90.0)),
        ("pause: 2.5", Above(pause=2.5)),
        ("limit: 2", Above(limit=2.0)),
        ("limit: .inf", Above(limit=float("inf"))),
        ("cap: 3", Above(cap=3.0)),
    ],
)
def test_parameters_are_read_with_their_units(given: str, read: Above) -> None:
    detector = only(f"- alert: A\n  detect: above\n  params: {{{given}}}").detector
    assert detector == read
    assert repr(detector) == repr(read)


# --- one mistake ----------------------------------------------------------------------------

ONE = "- alert: A\n  detect: above\n  "

MISTAKES = {
    # the file
    "": "1:1: empty: expected 'version: 1' and 'groups'",
    "[]": "1:1: expected a mapping, found a list",
    "groups: []": "1:1: 'version' is missing",
    "version: 1": "1:1: 'groups' is missing",
    "version: 2\ngroups: []": "1:10: version 2 is not supported; supported: 1",
    "version: '1'\ngroups: []": "1:10: version '1' is not supported; supported: 1",
    "version: true\ngroups: []": "1:10: version true is not supported; supported: 1",
    "version: 1\ngroops: []": "2:1: unknown key 'groops'; did you mean 'groups'? (known here: version, roles, groups, inhibit)",
    "version: 1\ngroups: {}": "2:9: expected a list, found a mapping",
    "version: 1\ngroups: [x]": "2:10: expected a mapping, found 'x'",
    "version: 1\ngroups: [{name: g}]": "2:10: 'rules' is missing",
    "version: 1\ngroups: [{name: 5, rules: []}]": "2:17: expected text, in quotes, found 5",
    "version: 1\nversion: 1\ngroups: []": "2:1: key 'version' was already given on line 1",
    "version: 1\ngroups: []\nroles: {Mine: x}": "3:9: 'Mine' cannot be a role: write lower case letters, digits and _",
    "version: 1\ngroups: []\nroles: {mine: '/[/'}": "3:15: bad regular expression '/[/': unterminated character set at position 0",
    "version: 1\ngroups: []\nroles: {mine: []}": "3:15: an empty list matches nothing: leave it out",
    "version: 01\ngroups: []": "1:10: 01 is octal to some YAML readers and decimal to others: write 1, or '01' in quotes",
    # a rule
    rules("- detect: above"): "5:9: 'alert' is missing",
    rules("- alert: A"): "5:9: 'detect' is missing",
    rules("- x"): "5:9: expected a mapping, found 'x'",
    rules("- alert: A\n  detects: above"): "6:9: unknown key 'detects'; did you mean 'detect'? (known here: alert, detect, match, params, for, keep_firing_for, labels, annotations, enabled)",
    rules("- alert: A\n  detect: abov"): "6:17: unknown detector 'abov'; did you mean 'above'? (there are: above, small, flat, silent)",
    rules("- alert: A\n  detect: zzz"): "6:17: unknown detector 'zzz' (there are: above, small, flat, silent)",
    rules("- alert: A\n  detect: 5"): "6:17: expected text, in quotes, found 5",
    rules("- alert: A\n  detect:"): "6:16: expected text, found nothing",
    rules("- alert: nan_loss\n  detect: above"): "5:16: 'nan_loss' is not a name in CamelCase: write 'NanLoss'",
    rules("- alert: '???'\n  detect: above"): "5:16: '???' is not a name in CamelCase: write for example 'LossDiverging'",
    rules("- alert: A\n  detect: flat\n- alert: A\n  detect: flat"): "7:16: alert 'A' is there already, on line 5",
    rules(ONE + "enabled: yes"): "7:18: expected true or false, found 'yes'",
    # spans
    rules(ONE + "for: 50"): "7:14: 50 of what? Write '50 steps', '50 points' or '50s'",
    rules(ONE + "for: 5 stepz"): "7:14: '5 stepz' is not a span: did you mean '5 steps'? Known: '50 steps', '30 points', '90s', '5m' or '1h30m'",
    rules(ONE + "for: 12:30:00"): "7:14: '12:30:00' is not a span: for a time write '12h30m'",
    rules(ONE + "keep_firing_for: [5m]"): "7:26: expected a span: '50 steps', '30 points', '90s', '5m' or '1h30m'",
    # labels
    rules(ONE + "labels: {severity: critcal}"): "7:28: unknown severity 'critcal'; did you mean 'critical'? (one of: info, warning, critical)",
    rules(ONE + "labels: {run: x}"): "7:18: label 'run' is reserved: every alert has it already",
    rules(ONE + "labels: {a-b: x}"): "7:18: 'a-b' cannot be a label: write letters, digits and _, no __ in front",
    rules(ONE + "labels: {__a: x}"): "7:18: '__a' cannot be a label: write letters, digits and _, no __ in front",
    rules(ONE + "labels: {team: '{{ run }}'}"): "7:24: label 'team' is identity and cannot be a template: use annotations",
    rules(ONE + "labels: {team: 5}"): "7:24: expected text, in quotes, found 5",
    rules(ONE + "labels: {team: [a]}"): "7:24: expected text, found a list",
    rules(ONE + "labels: x"): "7:17: expected a mapping, found 'x'",
    # annotations
    rules(ONE + "annotations: {sumary: x}"): "7:23: unknown key 'sumary'; did you mean 'summary'? (known here: summary, advice, runbook_url)",
    rules(ONE + "annotations: {summary: '{{ stpe }}'}"): "7:32: unknown template variable 'stpe'; did you mean 'step'? (known here: run, alert, detector, severity, subject, step, onset, value, seen, layers, learning_rate, optimizer, height)",
    rules(ONE + "annotations: {advice: '{{ $value }}'}"): "7:31: '{{ $value }}': expected a name in braces, did you mean '{{ value }}'?",
    rules(ONE + "annotations: {advice: '{{ a'}"): "7:31: '{{' without '}}' in '{{ a'",
    # match
    rules(ONE + "match: {role: train_los}"): "7:23: no role is called 'train_los'; did you mean 'train_loss'? (there are: accuracy, grad_norm, learning_rate, loss_scale, reward, step_time, throughput, train_loss, train_loss_part, val_accuracy, val_loss, val_loss_part)",
    rules(ONE + "match: {role: [val_*, x*]}"): "7:31: no role is called 'x*' (there are: accuracy, grad_norm, learning_rate, loss_scale, reward, step_time, throughput, train_loss, train_loss_part, val_accuracy, val_loss, val_loss_part)",
    rules(ONE + "match: {rol: train_loss}"): "7:17: unknown key 'rol'; did you mean 'role'? (known here: role, tag, run, stat, layer, layer_kind)",
    rules(ONE + "match: {tag: [a, '/(/']}"): "7:26: bad regular expression '/(/': missing ), unterminated subpattern at position 0",
    rules(ONE + "match: {tag: []}"): "7:22: an empty list matches nothing: leave it out",
    rules(ONE + "match: {tag: ''}"): "7:22: an empty pattern matches nothing: leave it out, or write '*'",
    rules(ONE + "match: {tag: 5}"): "7:22: expected a glob or a /regex/, as text",
    rules(ONE + "match: {tag: }"): "7:21: expected a glob or a /regex/, as text",
    rules(ONE + "match: train_loss"): "7:16: expected a mapping, found 'train_loss'",
    rules(ONE + "match: {layer: x}"): "7:17: 'layer' makes no sense here: above looks at scalar series: choose them with role or tag",
    rules(ONE + "match: {stat: x}"): "7:17: 'stat' makes no sense here: above looks at scalar series: choose them with role or tag",
    rules("- alert: A\n  detect: flat\n  match: {stat: x}"): "7:17: 'stat' makes no sense here: flat looks at scalar series: choose them with role or tag",
    rules("- alert: A\n  detect: small\n  match: {role: train_loss}"): "7:17: 'role' makes no sense here: small looks at layers: choose them with stat, layer or layer_kind",
    rules("- alert: A\n  detect: silent\n  match: {tag: x}"): "7:17: 'tag' makes no sense here: silent listens to whole runs: only 'run' makes sense",
    # params
    rules(ONE + "params:"): "7:16: expected a mapping, found nothing",
    rules(ONE + "params: {withing: 5}"): "7:18: unknown parameter 'withing' of above; did you mean 'within'? (above has: limit, within, window, pause, count, strict, label, side, cap)",
    rules("- alert: A\n  detect: small\n  params: {x: 5}"): "7:18: unknown parameter 'x' of small (small has: nothing)",
    rules(ONE + "params: {within: 5m}"): "7:26: 'within' counts steps: write '100 steps' or 100, not '5m'",
    rules(ONE + "params: {within: 5 points}"): "7:26: 'within' counts steps: write '100 steps' or 100, not '5 points'",
    rules(ONE + "params: {window: 5 steps}"): "7:26: 'window' counts points: write '100 points' or 100, not '5 steps'",
    rules(ONE + "params: {pause: 5 steps}"): "7:25: 'pause' counts time: write '90s', '5m', '1h30m' or a number of seconds, not '5 steps'",
    rules(ONE + "params: {within: 5 stepz}"): "7:26: 'within' counts steps: write '100 steps' or 100; '5 stepz' is not a span: did you mean '5 steps'? Known: '50 steps', '30 points', '90s', '5m' or '1h30m'",
    rules(ONE + "params: {within: [5]}"): "7:26: 'within' expects a number of steps, found a list",
    rules(ONE + "params: {within: 1.5}"): "7:26: 'within' expects a whole number, found 1.5",
    rules(ONE + "params: {within: 10000000000000}"): "7:26: 'within' expects a number of steps, 10000000000000 is out of range",
    rules(ONE + "params: {limit: abc}"): "7:25: 'limit' expects a number, found 'abc'",
    rules(ONE + "params: {limit: .nan}"): "7:25: 'limit' expects a number, nan is out of range",
    rules(ONE + "params: {limit: true}"): "7:25: 'limit' expects a number, found true",
    rules(ONE + "params: {limit: null}"): "7:25: 'limit' expects a number, found nothing",
    rules(ONE + "params: {count: 3.5}"): "7:25: 'count' expects a whole number, found 3.5",
    rules(ONE + "params: {count: 3 steps}"): "7:25: 'count' expects a whole number, found '3 steps'",
    rules(ONE + "params: {strict: yes}"): "7:26: 'strict' expects true or false, found 'yes'",
    rules(ONE + "params: {label: 5}"): "7:25: 'label' expects text, found 5",
    rules(ONE + "params: {side: dwn}"): "7:24: 'side' cannot be 'dwn'; did you mean 'down'? (one of: up, down)",
    rules(ONE + "params: {side: 5}"): "7:24: 'side' cannot be 5: one of up, down",
    rules(ONE + "params: {window: 1}"): "7:26: 'window' must be at least 2 points, found 1",
    rules(ONE + "params: {count: 50}"): "7:17: window: at least count",
    rules(ONE + "params: {limit: 13}"): "7:17: unlucky",
    # inhibitions
    rules(ONE + "for: 0") + "inhibit:\n  - {source: {alert: AA}, target: {alert: A}}": "9:22: no alert has the alert 'AA'; did you mean 'A'? (there are: A)",
    rules(ONE + "for: 0") + "inhibit:\n  - {source: {alert: A}, target: {sevrity: info}}": "9:35: no alert has a label 'sevrity'; did you mean 'severity'? (known here: detector, severity, alert)",
    rules(ONE + "for: 0") + "inhibit:\n  - {source: {alert: A}, target: {severity: [info, x]}}": "9:52: no alert has the severity 'x' (there are: critical, info, warning)",
    rules(ONE + "for: 0") + "inhibit:\n  - {source: {alert: A}, target: {}}": "9:34: an empty matcher would match every alert: say which",
    rules(ONE + "for: 0") + "inhibit:\n  - {source: {alert: A}, target: {alert: A}, equal: [runn]}": "9:54: no alert has a label 'runn'; did you mean 'run'? (known here: detector, severity, alert, run)",
    rules(ONE + "for: 0") + "inhibit:\n  - {source: {alert: A}}": "9:5: 'target' is missing",
}  # fmt: skip


@pytest.mark.parametrize(("text", "error"), MISTAKES.items(), ids=list(MISTAKES.values()))
def test_one_mistake(text: str, error: str) -> None:
    assert errors(text) == [error]


# --- several, and anything at all -----------------------------------------------------------


def test_all_mistakes_are_told_at_once_in_the_order_of_the_text() -> None:
    text = """\
version: 2
groops: []
groups:
  - name: g
    rules:
      - alert: A
        detect: abov
        for: 5
      - alert: A
        detect: above
        match: {role: [x, '/[/'], tagg: a, stat: b}
        params: {withing: 1, within: 5m, window: 1}
        annotations: {summary: "{{ a }} {{ b }}"}
inhibit:
  - {source: {alert: B}}
"""
    places = [":".join(error.split(":")[:2]) for error in errors(text)]
    assert places == [
        "1:10", "2:1", "7:17", "8:14", "9:16", "11:24", "11:27", "11:35", "11:44", "12:18", "12:38",
        "12:50", "13:32", "13:32", "15:5", "15:22",
    ]  # fmt: skip


def test_an_error_names_file_line_and_column() -> None:
    with pytest.raises(RulesInvalid) as caught:
        parse("version: 1\n", "my/rules.yaml", FAKES)
    assert str(caught.value) == "my/rules.yaml:1:1: 'groups' is missing"
    (error,) = caught.value.errors
    assert (error.file, error.line, error.column) == ("my/rules.yaml", 1, 1)


def test_a_mistake_behind_an_alias_is_told_once_where_it_stands() -> None:
    body = "- alert: A\n  detect: above\n  match: &m {tagg: x}\n- alert: B\n  detect: above\n  match: *m"
    assert [error[:5] for error in errors(rules(body))] == ["7:20:"]


def attempt(text: str) -> RuleSet | None:
    try:
        return parse(text, "f", FAKES)
    except RulesInvalid as invalid:
        told = invalid.errors
    assert told
    assert all(re.match(r"f:\d+:\d+: .", str(error)) for error in told)
    return None


@given(st.text())
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    attempt(text)


WORDS = st.sampled_from(
    re.findall(
        r"\S+",
        "version roles groups inhibit name rules alert detect match params for keep_firing_for"
        " labels annotations enabled role tag run stat layer summary advice severity source target"
        " equal above small flat silent within limit side A Bb 5 0 5m /[/ /a/ {{ {{run}} critical",
    )
)
LEAVES = st.one_of(WORDS, st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=5))
TREES = st.recursive(
    LEAVES, lambda x: st.lists(x, max_size=4) | st.dictionaries(WORDS, x, max_size=6), max_leaves=25
)
RULES = st.dictionaries(
    st.sampled_from(
        ["alert", "detect", "match", "params", "for", "labels", "annotations", "enabled"]
    ),
    TREES,
)


@given(
    st.one_of(
        TREES,
        st.fixed_dictionaries(
            {"version": st.just(1), "groups": TREES}, optional={"roles": TREES, "inhibit": TREES}
        ),
        st.builds(
            lambda rules, inhibit: {
                "version": 1,
                "groups": [{"name": "g", "rules": [{"alert": "A", "detect": "above"} | r for r in rules]}],
                "inhibit": [inhibit],
            },
            st.lists(RULES, max_size=3),
            st.dictionaries(st.sampled_from(["source", "target", "equal"]), TREES),
        ),
    )
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_yaml_is_read_or_refused(tree: object) -> None:
    attempt(yaml.safe_dump(tree, allow_unicode=True))


def test_half_a_file_is_read_or_refused() -> None:
    body = '- alert: A\n  detect: above\n  match: {tag: ["x", /y/]}\n  params: {within: 5 steps}'
    text = rules(body)
    assert attempt(text) is not None
    for end in range(len(text)):
        attempt(text[:end])
