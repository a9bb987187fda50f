"""Makes the zoo and scores the monitor on it: ``python -m tests.zoo``.

--kind NAME [--explain] looks at some kinds only and tells what the monitor said of each run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib

from monitor.notices import AlertDocument
from monitor.rules import load
from tests.zoo import page, report
from tests.zoo.kinds import SCORE, TUNE, Kind, kinds
from tests.zoo.peers import PEERS, installed, read, verdicts
from tests.zoo.record import PLACE, Recorded, complete, recorded
from tests.zoo.replay import alerts_of
from tests.zoo.score import Outcome, judge

PAGE = Path("docs/detection-quality.md")


@dataclass(frozen=True)
class Judged:
    """One run, judged by ours and by peers' rules."""

    outcome: Outcome
    alerts: Sequence[AlertDocument]
    peers: Mapping[str, Outcome]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if a run could not be made."""
    options = _options(arguments)
    seeds = {"score": SCORE, "tune": TUNE, "all": (*TUNE, *SCORE)}.get(options.seeds) or tuple(
        map(int, options.seeds.split(","))
    )
    some = _chosen(options.kind)
    begin = time.monotonic()
    problems = complete(options.zoo, some, seeds, options.jobs, _progress("made"))
    for problem in problems:
        print(f"could not be made: {problem}", file=sys.stderr)
    judged = list(_judged(options, some, seeds))
    print(f"{len(judged)} runs in {time.monotonic() - begin:.0f} s", file=sys.stderr)
    outcomes = [one.outcome for one in judged]
    if options.kind:
        for one in judged:
            _tell(one.outcome, one.alerts, options.explain)
        print(report.summary(outcomes))
    else:
        beside = {"this monitor": outcomes, **_beside(judged)}
        print(report.complaints(outcomes), "\n")
        print(report.by_detector(outcomes), "\n")
        print(report.beside(beside), "\n")
        print(report.summary(outcomes))
        if options.write:
            PAGE.write_text(page.page(outcomes, beside, some, seeds, TUNE))
    return 1 if problems else 0


def _beside(judged: Sequence[Judged]) -> dict[str, list[Outcome]]:
    """Outcomes of those peers that are installed."""
    names = [name for name in PEERS if all(name in one.peers for one in judged)]
    missing = [name for name in PEERS if name not in names]
    if missing:
        print(f"not asked, because not installed: {', '.join(missing)}", file=sys.stderr)
    return {name: [one.peers[name] for one in judged] for name in names}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument(
        "--kind", action="append", default=[], help="only kinds named so (parts do)"
    )
    parser.add_argument("--explain", action="store_true", help="with the words of each alert")
    parser.add_argument("--seeds", default="score", help="score, tune, all, or numbers: 10,11")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE}")
    parser.add_argument("--rules", type=Path, default=None, help="other rules than the default")
    parser.add_argument("--zoo", type=Path, default=PLACE, help="where the runs are kept")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; default: one a core")
    return parser.parse_args(arguments)


def _chosen(names: Sequence[str]) -> list[Kind]:
    every = kinds()
    exact = [every[name] for name in names if name in every]
    if len(exact) == len(names) and names:
        return exact
    found = [k for name, k in every.items() if not names or any(part in name for part in names)]
    if not found:
        raise SystemExit(f"no kind is named like {', '.join(names)}")
    return found


def _judge_named(zoo: Path, rules: Path | None, name: str, seed: int, peers: bool) -> Judged | None:
    kind = kinds()[name]
    run = recorded(zoo, kind, seed)
    if run is None:
        return None
    alerts = alerts_of(run, load(rules))
    outcome = judge(name, seed, kind.truth, run.note, alerts)
    return Judged(outcome, alerts, _peers(run) if peers else {})


def _peers(run: Recorded) -> dict[str, Outcome]:
    """Peers know other severities and give no advice; both are forgiven them."""
    truth = replace(run.kind.truth, severity="info", advice="")
    logged = read(run.place)
    return {
        name: judge(run.kind.name, run.seed, truth, run.note, verdicts(name, run.place, logged))
        for name in PEERS
        if installed(name)
    }


def _judged(
    options: argparse.Namespace, some: Sequence[Kind], seeds: Sequence[int]
) -> Iterator[Judged]:
    told = _progress("judged")
    work = joblib.Parallel(n_jobs=options.jobs, return_as="generator")
    jobs = [(kind.name, seed) for kind in some for seed in seeds]
    found = work(
        joblib.delayed(_judge_named)(options.zoo, options.rules, name, seed, not options.kind)
        for name, seed in jobs
    )
    for i, judged in enumerate(found):
        told(i + 1, len(jobs))
        if judged is not None:
            yield judged


def _tell(outcome: Outcome, alerts: Sequence[AlertDocument], words: bool) -> None:
    print(report.story(outcome))
    for alert in alerts:
        print(f"    step {alert['fired_step']}: {alert['severity']} {alert['alert']}")
        if words:
            print(f"        {alert['summary']}\n        {alert['advice']}")


def _progress(what: str) -> Callable[[int, int], None]:
    """Says how far it is, at a terminal only."""

    def told(done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{what} {done} of {of}", end="" if done < of else "\n", file=sys.stderr)

    return told


if __name__ == "__main__":
    sys.exit(main())
