"""Outcomes as tables, for people and for the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tests.zoo.kinds import Kind, Truth
from tests.zoo.score import Outcome, lines, total


def percent(part: float, of: float) -> str:
    """``12 of 40 (30 %)``."""
    return f"{part:g} of {of:g}" + (f" ({100 * part / of:.0f} %)" if of else "")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown that also reads well as text: first column to the left, others to the right."""
    body = [list(head), *map(list, rows)]
    width = [max(len(row[i]) for row in body) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(width[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:], width[1:], strict=True)]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join(
        ("-" * (w + 2)) if i == 0 else ("-" * (w + 1) + ":") for i, w in enumerate(width)
    )
    return "\n".join([line(body[0]), rule + "|", *map(line, body[1:])])


def summary(outcomes: Sequence[Outcome]) -> str:
    """A few lines with the promised numbers."""
    t = total(outcomes)
    delay = (
        ""
        if t.delay is None
        else f", after {t.delay:g} steps ({100 * (t.share or 0):.1f} % "
        f"of the run) in the median; {percent(t.within, t.found)} within 50 steps or 5 %"
    )
    return "\n".join(
        f"- {what}"
        for what in (
            f"faults found: {percent(t.found, t.faulty)}{delay}",
            f"healthy runs with a warning or worse: {percent(t.alarmed, t.healthy)}",
            f"healthy runs with a mere note: {percent(t.noted, t.healthy)}",
            f"faulty runs with a warning of what they do not have: {percent(t.misnamed, t.faulty)}",
        )
    )


def by_detector(outcomes: Sequence[Outcome]) -> str:
    """The table of the documentation."""
    rows = []
    for line in lines(outcomes):
        some = line.delay is not None and line.share is not None
        rows.append(
            [
                f"`{line.detector}`",
                str(line.runs) if line.runs else "",
                f"{line.found / line.runs:.2f}" if line.runs else "",
                f"{line.by_name / line.runs:.2f}" if line.runs else "",
                f"{line.delay:g}" if some else "",
                f"{100 * (line.share or 0):.1f} %" if some else "",
                str(line.false),
            ]
        )
    head = ("fault", "runs", "recall", "by its own name", "delay, steps", "of the run", "false")
    return table(head, rows)


def complaints(outcomes: Sequence[Outcome]) -> str:
    """Kind by kind: what was missed, what was wrong; for authors of detectors."""
    said: dict[str, Counter[str]] = {}
    for o in outcomes:
        kind = said.setdefault(o.kind, Counter())
        if o.truth.fault and not o.found:
            hint = " (but its detector spoke, too quietly)" if o.by_name else ""
            kind[f"missed {o.truth.fault}{hint}"] += 1
        for what, names in (("FALSE", o.wrong), ("EARLY", o.early), ("note", o.quiet)):
            for name in names:
                kind[f"{what} {name}"] += 1
        if o.unadvised:
            kind[f"advice of {o.found} lacks /{o.truth.advice}/"] += 1
        if o.delay is not None and o.delay > max(50, 0.05 * o.note.last):
            kind[f"late by more than 5 %: {o.found}"] += 1
    runs = Counter(o.kind for o in outcomes)
    width = max(map(len, said), default=0)
    return "\n".join(
        f"{kind:<{width}}  " + "; ".join(f"{what} {n}/{runs[kind]}" for what, n in found.items())
        for kind, found in said.items()
        if found
    )


def beside(peers: Mapping[str, Sequence[Outcome]]) -> str:
    """The promised numbers, monitor by monitor."""
    rows = []
    for name, outcomes in peers.items():
        t = total(outcomes)
        rows.append(
            [
                name,
                _percent(t.found, t.faulty),
                _percent(t.alarmed, t.healthy),
                _percent(t.misnamed, t.faulty),
                "" if t.delay is None else f"{t.delay:g}",
            ]
        )
    head = ("rules", "faults found", "healthy runs alarmed", "faulty runs misnamed", "delay, steps")
    return table(head, rows)


def _percent(part: int, of: int) -> str:
    return f"{100 * part / of:.1f} %" if of else ""


def catalogue(kinds: Sequence[Kind]) -> str:
    """What there is in the zoo, kind by kind."""
    rows = [
        [f"`{kind.name}`", ", ".join(f"`{n}`" for n in _right_names(kind.truth)), kind.about]
        for kind in kinds
    ]
    lines_ = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["| kind | right names | what it is |", "|---|---|---|", *lines_])


def _right_names(truth: Truth) -> list[str]:
    return [truth.fault, *sorted(truth.or_else)] if truth.fault else []


def story(outcome: Outcome) -> str:
    """One run in a few lines."""
    truth, note = outcome.truth, outcome.note
    what = "healthy" if not truth.fault else " or ".join(sorted(truth.right))
    onset = f", from step {note.onset}{'' if note.known else ' (computed)'}" if truth.fault else ""
    found = (
        "" if not truth.fault
        else f"found by {outcome.found} {outcome.delay} steps later" if outcome.found
        else "MISSED"
    )  # fmt: skip
    parts = [
        f"{outcome.kind}, seed {outcome.seed}, steps to {note.last}: {what}{onset}",
        *([f"  {found}"] if found else []),
    ]
    for name, names in (
        ("wrong", outcome.wrong), ("early", outcome.early),
        ("notes", outcome.quiet), ("beside", outcome.beside),
    ):  # fmt: skip
        if names:
            parts.append(f"  {name}: {', '.join(names)}")
    return "\n".join(parts)
