"""Expressions and thresholds in rule files: where mistakes are told, what a rule then looks at."""

# ruff: noqa: E501 - a message is read in one piece

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.points import Layers, Points, SeriesKey
from monitor.rules import RulesInvalid, parse
from tests.toys import batch, scalar_points

HEAD = "version: 1\nroles: {perplexity: ['ppl']}\ngroups:\n  - name: g\n    rules:\n"


def rules(body: str) -> str:
    """The rules begin in line 6 and are indented by 6."""
    return HEAD + "".join(f"      {line}\n" for line in body.splitlines())


def errors(body: str) -> list[str]:
    with pytest.raises(RulesInvalid) as caught:
        parse(rules(body), "f")
    return [str(error).removeprefix("f:") for error in caught.value.errors]


def written(params: str) -> str:
    return f"- alert: A\n  detect: expression\n  params:\n    {params}"


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ("expr: tran_loss > 2", "9:17"),
        ("expr: 'tran_loss > 2'", "9:18"),
        ('expr: "1 <   tran_loss"', "9:24"),
        ("expr: >-\n      1 <\n      tran_loss", "11:13"),
        ("expr: |\n      -1 < tran_loss", "10:18"),
        ("expr: 1 <\n      tran_loss", "10:13"),
        ("expr: 'tag(''a b'') > tran_loss'", "9:33"),
        ('expr: "tag(\\"a\\") > tran_loss"', "9:31"),
        ('{"expr": "tran_loss > 2"}', "9:21"),
    ],
)
def test_a_mistake_in_an_expression_is_told_with_its_column(params: str, place: str) -> None:
    (error,) = errors(written(params))
    assert error.startswith(f"{place}: no role is called 'tran_loss'; did you mean 'train_loss'?")


def test_all_unknown_roles_are_told_and_those_of_the_file_are_known() -> None:
    found = errors(written("expr: perplexity > 2 and perplexit > 3 and lr > 1"))
    assert [error.split(":")[1] for error in found] == ["36", "54"]
    assert "did you mean 'perplexity'?" in found[0]


@pytest.mark.parametrize(
    ("body", "error"),
    {
        written("expr: median(train_loss, 50) > 1.5 * mim(train_loss)"): "9:48: unknown function 'mim'; did you mean 'min'?",
        written("expr: train_loss >"): "9:28: expected a number, a series or a function, found the end",
        written("expr: 5"): "9:17: 'expr' expects text, found 5",
        written("exp: 5"): "9:11: unknown parameter 'exp' of expression; did you mean 'expr'?",
        written("expr: step > 5"): "9:17: no series is named here, e.g. train_loss or tag(...)",
        written("expr: value > 5"): "6:9: 'match' must say which series is judged: expression looks at scalar series",
        "- alert: A\n  detect: expression": "6:9: expression needs 'expr': the condition, e.g. median(train_loss, 50) > 2",
        "- alert: A\n  detect: expression\n  match: {stat: rms}\n  params: {expr: value > 1}": "8:17: 'stat' makes no sense here: expression looks at scalar series",
        "- alert: A\n  detect: threshold\n  match: {tag: x}": "6:9: threshold needs 'above', 'below' or both",
        "- alert: A\n  detect: threshold\n  params: {above: 1}": "6:9: 'match' must say which series: threshold looks at scalars",
        "- alert: A\n  detect: threshold\n  match: {tag: x, stat: y}\n  params: {above: 1}": "8:16: 'tag' and 'stat' exclude each other: threshold looks at scalars",
        "- alert: A\n  detect: threshold\n  match: {tag: x}\n  params: {above: 1, below: 1}": "9:35: 'below' must be other than 'above', found 1",
    }.items(),
)  # fmt: skip
def test_mistakes(body: str, error: str) -> None:
    told = errors(body)
    assert told[0].startswith(error), told


def fired(body: str, *points: Points) -> list[tuple[str, str, int]]:
    engine = Engine(parse(rules(body), "f"))
    for column in points:
        engine.feed(batch(column))
    assert not engine.failures
    return [(alert.rule.alert, alert.subject, alert.fired.step) for alert in engine.alerts()]


LOW_THEN_HIGH = [1.0] * 60 + [2.0] * 60
RULE = "expr: median(train_loss, 50) > 1.5 * min(median(train_loss, 50))"


def test_the_first_series_is_judged_where_the_rule_does_not_say() -> None:
    # More than half of the window of 50 is high from step 85 on.
    assert fired(written(RULE), scalar_points(LOW_THEN_HIGH, tag="train/loss")) == [
        ("A", "train/loss", 85)
    ]
    assert fired(written(RULE), scalar_points(LOW_THEN_HIGH, tag="val/loss")) == []


def test_every_series_of_the_role_is_judged_on_its_own() -> None:
    calm = scalar_points([1.0] * 120, tag="train/loss_a")
    wild = scalar_points(LOW_THEN_HIGH, tag="train/loss_b")
    assert [subject for _, subject, _ in fired(written(RULE), calm, wild)] == ["train/loss_b"]


def test_a_series_named_by_its_tag_is_that_one_only() -> None:
    rule = written("expr: tag('my/loss') > 1.5")
    for tag, expected in (("my/loss", 1), ("MY/loss", 0), ("my/loss2", 0)):
        assert len(fired(rule, scalar_points(LOW_THEN_HIGH, tag=tag))) == expected


def test_other_series_count_as_of_just_before() -> None:
    rule = written("expr: train_loss > tag('floor')")
    floor = scalar_points([0.0, 9.0], tag="floor", steps=[0, 3])
    loss = scalar_points([1.0] * 6, tag="loss", steps=[-1, 0, 1, 2, 3, 4])
    engine = Engine(parse(rules(rule), "f"))
    engine.feed(batch(floor, loss))
    (alert,) = engine.alerts()
    # Not at steps -1 and 0, where the floor was unknown; no longer at step 4, where it is 9.
    assert (alert.fired.step, alert.resolved and alert.resolved.step) == (1, 4)


def test_a_new_attempt_begins_anew() -> None:
    rule = written("expr: train_loss > 1.5 * min(train_loss)")
    again = [5, 6, 7, 8, 0, 1, 2, 3]
    ring = [1, 1, 1, 1, 2, 2, 2, 2]
    steps = scalar_points(ring, tag="loss", steps=again, clock=list(range(8)))
    assert fired(rule, steps) == []


@pytest.mark.parametrize("size", [1, 7, 120])
def test_reads_of_any_size_give_the_same_alert(size: int) -> None:
    engine = Engine(parse(rules(written(RULE)), "f"))
    for a in range(0, 120, size):
        values = LOW_THEN_HIGH[a : a + size]
        steps = range(a, a + len(values))
        engine.feed(batch(scalar_points(values, tag="loss", steps=list(steps))))
    (alert,) = engine.alerts()
    assert alert.fired.step == 85
    assert alert.evidence.seen == (
        "at step 85: median(train_loss, 50) is 2, more than "
        "1.5 * min(median(train_loss, 50)), which is 1.5"
    )


def test_a_threshold_over_layers_names_them() -> None:
    body = "- alert: A\n  detect: threshold\n  match: {stat: rms, layer: '*.weight'}\n  params: {above: 5}"
    scalars = scalar_points([9.0, 9.0], tag="rms")
    layers = Layers(names=("0.weight", "0.bias", "1.weight"), kinds=("Linear",) * 3)
    points = scalars.__class__(
        SeriesKey("run", "layer/rms"),
        "w",
        scalars.steps,
        scalars.wall_times,
        scalars.clock,
        scalars.values[:, None] * [1.0, 1.0, 0.1],
        layers,
    )
    assert fired(body, scalars, points) == [("A", "0.weight", 0)]
