"""Cases through the engine, and what came out against what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.alerts import Alert
from monitor.engine import Engine
from monitor.notices import summary
from monitor.rules import RuleSet
from monitor.ruletests.document import AlertSection
from monitor.ruletests.parse import Case


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which a case came out otherwise, and where in the file it was expected."""

    line: int
    column: int
    message: str


def run(case: Case, rules: RuleSet) -> tuple[Failure, ...]:
    """Nothing if the case came out as expected."""
    engine = Engine(rules)
    engine.feed(case.batch)
    if case.silence:
        last = max(float(c.points().clock[-1]) for c in case.batch.columns)
        engine.tick(last + case.silence)
    broken = (Failure(*case.place, f"{a}: {said}") for a, said in engine.failures.items())
    return (*broken, *_compare(case, list(engine.alerts())))


def _compare(case: Case, left: list[Alert]) -> Iterator[Failure]:
    for expected, place in zip(case.section.alerts, case.alerts, strict=True):
        called = [alert for alert in left if alert.rule.alert == expected.alert]
        if not called:
            fired = ", ".join(f"{a.rule.alert} at step {a.fired.step}" for a in left) or "nothing"
            yield Failure(*place, f"{expected.alert} did not fire; fired: {fired}")
            continue
        # Of several it is the one that fits best.
        best = min(called, key=lambda alert: len(list(_differences(expected, alert))))
        left.remove(best)
        for said in _differences(expected, best):
            yield Failure(*place, f"{expected.alert} {said}")
    for alert in left:
        if alert.rule.alert not in case.section.ignore:
            message = f"{alert.rule.alert} fired at step {alert.fired.step}, unexpected: "
            yield Failure(*case.place, message + summary(alert))


def _differences(expected: AlertSection, alert: Alert) -> Iterator[str]:
    slack = f" within {expected.within}" if expected.within else ""
    step = expected.fired_step
    if step is not None and abs(alert.fired.step - step) > expected.within:
        yield f"fired at step {alert.fired.step}, expected {step}{slack}"
    if "resolved_step" in expected.model_fields_set:
        found = None if alert.resolved is None else alert.resolved.step
        wanted = expected.resolved_step
        if found is None or wanted is None:
            differs = found is not wanted
        else:
            differs = abs(found - wanted) > expected.within
        if differs:
            when = "fires to the end" if found is None else f"resolved at step {found}"
            hoped = "to fire to the end" if wanted is None else f"to resolve at {wanted}{slack}"
            yield f"{when}, expected {hoped}"
    severity = alert.rule.severity.label
    if expected.severity not in (None, severity):
        yield f"is {severity}, expected {expected.severity}"
    if expected.subject not in (None, alert.subject):
        yield f"is about {alert.subject}, expected {expected.subject}"
