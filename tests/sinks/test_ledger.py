"""Every transition is delivered, whatever happens in between, and told once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from monitor.alerts import Alert, Moment
from monitor.notices import Notice
from monitor.points import Evidence
from monitor.sinks import UnusableError
from monitor.sinks.ledger import ALERTS_PER_RUN, FILE, FORGET_SECONDS, Ledger
from tests.toys import rule as toy_rule

CHANNELS = ("slack",)


def alert(name: str = "Toy", fired: int = 5, resolved: int | None = None, run: str = "r") -> Alert:
    end = None if resolved is None else Moment(resolved, resolved, float(resolved))
    evidence = Evidence(1.0, "it was 1")
    return Alert(toy_rule(name), run, "loss", 4, Moment(fired, fired, float(fired)), end, evidence)


def told(notices: list[Notice]) -> list[tuple[str, int, bool]]:
    return [(n.document["alert"], n.document["fired_step"], not n.resolved) for n in notices]


def waiting(ledger: Ledger, now: float = 1e9) -> list[tuple[str, int, bool]]:
    due = ledger.due("slack", now)
    return [(d.document["alert"], d.document["fired_step"], d.firing) for d in due]


def started(directory: Path | None = None, now: float = 100.0) -> Ledger:
    ledger = Ledger(directory, CHANNELS, now)
    ledger.ready((), now)
    return ledger


def test_what_is_told_once_is_not_told_again() -> None:
    ledger = started()
    assert told(ledger.update("r", [alert()], 100.0)) == [("Toy", 5, True)]
    assert ledger.update("r", [alert()], 101.0) == []
    assert told(ledger.update("r", [alert(resolved=9)], 102.0)) == [("Toy", 5, False)]
    assert ledger.update("r", [alert(resolved=9)], 103.0) == []
    assert waiting(ledger) == [("Toy", 5, True), ("Toy", 5, False)]
    ledger.close()


def test_nor_by_the_next_daemon(tmp_path: Path) -> None:
    first = started(tmp_path)
    first.update("r", [alert()], 100.0)
    first.close()
    second = Ledger(tmp_path, CHANNELS, 200.0)
    assert second.update("r", [alert()], 200.0) == []
    assert waiting(second) == [("Toy", 5, True)], "nobody has taken it yet"
    second.strike(second.due("slack", 1e9))
    second.close()
    third = started(tmp_path, 300.0)
    assert third.update("r", [alert()], 300.0) == []
    assert waiting(third) == []
    third.close()


def test_history_is_not_news_but_what_happened_meanwhile_is(tmp_path: Path) -> None:
    first = Ledger(tmp_path, CHANNELS, 100.0)
    over, active = alert("Over", resolved=9), alert("Active")
    assert told(first.update("r", [over, active], 100.0)) == [("Active", 5, True)]
    first.ready(["r"], 100.0)
    first.beat(150.0)
    first.close()
    second = Ledger(tmp_path, CHANNELS, 1000.0)
    meanwhile = alert("Meanwhile", fired=160, resolved=170)
    before = alert("OfAnotherRun", fired=100, resolved=120, run="new")
    since = alert("SinceThen", fired=140, resolved=160, run="new")
    ended = replace(active, resolved=over.resolved)
    assert told(second.update("r", [over, ended, meanwhile], 1e3)) == [
        ("Active", 5, False), ("Meanwhile", 160, True), ("Meanwhile", 160, False),
    ]  # fmt: skip
    assert told(second.update("new", [before, since], 1e3)) == [
        ("SinceThen", 140, True), ("SinceThen", 140, False),
    ]  # fmt: skip
    second.close()


def test_what_ends_while_the_first_daemon_starts_is_news_for_the_next(tmp_path: Path) -> None:
    Ledger(tmp_path, CHANNELS, 7.0).close()  # killed before it was ready
    ledger = Ledger(tmp_path, CHANNELS, 20.0)
    found = ledger.update("r", [alert("Old", 3, 6), alert("New", 5, 9)], 20.0)
    assert told(found) == [("New", 5, True), ("New", 5, False)]
    ledger.close()


def test_what_an_archived_run_died_of_is_no_news_until_it_goes_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, CHANNELS, 1e6)
    assert ledger.update("old", [alert()], 1e6, archived=True) == []
    ledger.ready(["old"], 1e6)
    assert ledger.update("old", [alert()], 1e6, archived=True) == [], "after a reload"
    assert told(ledger.update("old", [alert()], 1e6)) == [("Toy", 5, True)], "it goes on"
    assert told(ledger.update("old", [alert(resolved=9)], 1e6)) == [("Toy", 5, False)]
    assert waiting(ledger) == [("Toy", 5, True), ("Toy", 5, False)]
    ledger.beat(7.0)
    ledger.close()
    # It died while nobody was there, and somebody comes back days later.
    late = Ledger(tmp_path, CHANNELS, 2e6)
    found = late.update("dead", [alert("Before", fired=6), alert("After", fired=8)], 2e6, True)
    assert told(found) == [("After", 8, True)]
    late.close()


def test_an_alert_that_is_gone_has_resolved(tmp_path: Path) -> None:
    ledger = started(tmp_path)
    ledger.update("r", [alert()], 100.0)
    assert ledger.runs() == {"r"}
    ledger.close()
    ledger = started(tmp_path, 200.0)
    assert ledger.runs() == {"r"}
    (notice,) = ledger.update("r", [], 200.0)
    assert notice.resolved
    assert notice.document["summary"] == "r: it was 1"
    assert ledger.runs() == frozenset()
    ledger.close()


def test_tried_and_struck_out() -> None:
    ledger = started()
    ledger.update("r", [alert("A"), alert("B")], 100.0)
    assert ledger.due("slack", 100.0) == []
    assert ledger.next_due("slack") == 100.5
    a, b = ledger.due("slack", 101.0)
    ledger.strike([a])
    ledger.tried([b])
    (again,) = ledger.due("slack", 101.0)
    assert (again.tries, again.document["alert"]) == (1, "B")
    assert ledger.waiting("slack") == 1
    ledger.close()


def test_runs_without_end_are_bounded(tmp_path: Path) -> None:
    ledger = started(tmp_path)
    for i in range(0, 3 * ALERTS_PER_RUN, 100):
        ledger.update("r", [alert(fired=i + j, resolved=i + j + 1) for j in range(100)], 100.0)
    assert len(ledger._known["r"]) <= ALERTS_PER_RUN
    ledger.close()
    late = Ledger(tmp_path, CHANNELS, 101.0 + FORGET_SECONDS)
    assert late.runs() == frozenset()
    assert not late._known
    late.close()


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    ledger = started(tmp_path)
    code = (
        "import sys; from pathlib import Path; from monitor.sinks.ledger import Ledger\n"
        "try: Ledger(Path(sys.argv[1]), (), 0.0)\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert "another monitor uses it" in done.stdout
    ledger.close()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableError, match=r"cannot keep the ledger in .*file"):
        Ledger(tmp_path / "file", CHANNELS, 0.0)
    (tmp_path / FILE).write_bytes(b"no database" * 500)
    with pytest.raises(UnusableError, match="not a database"):
        Ledger(tmp_path, CHANNELS, 0.0)


def test_goes_on_in_memory_when_the_disk_is_full(tmp_path: Path) -> None:
    ledger = started(tmp_path)
    ledger.update("r", [alert("Before")], 100.0)
    # SQLite's own limit on a file's size, which fails as a full disk does.
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    for i in range(500):
        ledger.update(f"run {i}", [alert(run=f"run {i}")], 101.0)
    assert "full" in ledger.lost
    assert ("Before", 5, True) in waiting(ledger)
    assert ledger.waiting("slack") == 501
    assert ledger.update("r", [alert("Before")], 102.0) == []
    ledger.close()
    sqlite3.connect(tmp_path / FILE).close()


class Daemons(RuleBasedStateMachine):
    """Alerts come, go and come back while daemons die between any two transactions."""

    alerts = Bundle("alerts")

    @initialize()
    def start(self) -> None:
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.clock = 100.0
        self.runs: dict[str, dict[tuple[str, int], Alert]] = {"a": {}, "b": {}}
        self.happened: Counter[tuple[str, str, int, bool]] = Counter()
        self.taken: Counter[tuple[str, str, int, bool]] = Counter()
        self.ledger = started(Path(self.directory.name), self.clock)
        self.ledger.beat(self.clock)

    @rule(run=st.sampled_from("ab"), name=st.sampled_from(["X", "Y"]))
    def fire(self, run: str, name: str) -> None:
        self.clock += 1
        now = int(self.clock)
        self.runs[run][name, now] = alert(name, fired=now, run=run)
        self.happened[run, name, now, True] += 1

    @precondition(lambda self: any(a.active for r in self.runs.values() for a in r.values()))
    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        self.clock += 1
        firing = [
            (run, key) for run, known in self.runs.items() for key, a in known.items() if a.active
        ]
        run, key = data.draw(st.sampled_from(firing))
        end = Moment(0, int(self.clock), self.clock)
        self.runs[run][key] = replace(self.runs[run][key], resolved=end)
        name, step = key
        self.happened[run, name, step, False] += 1

    @rule()
    def publish(self) -> None:
        self.clock += 1
        for run, known in self.runs.items():
            self.ledger.update(run, list(known.values()), self.clock)

    @rule(kill=st.booleans())
    def deliver(self, kill: bool) -> None:
        """``kill``: the daemon dies after the channel has taken it, before it is struck out."""
        self.clock += 1
        due = self.ledger.due("slack", self.clock)
        for delivery in due:
            said = delivery.document
            key = delivery.run, said["alert"], said["fired_step"], delivery.firing
            if not kill:
                self.taken[key] += 1
        if kill:
            self.restart()
        else:
            self.ledger.strike(due)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.clock += 10
        self.ledger = Ledger(Path(self.directory.name), CHANNELS, self.clock)
        for run, known in self.runs.items():
            self.ledger.update(run, list(known.values()), self.clock)
        self.ledger.ready(self.runs, self.clock)

    def teardown(self) -> None:
        self.restart()
        self.clock += 10
        self.deliver(kill=False)
        self.ledger.close()
        self.directory.cleanup()
        assert self.taken == self.happened


TestDaemons = Daemons.TestCase
TestDaemons.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=50), st.text(max_size=30))
def test_any_name_can_be_kept(run: str, name: str) -> None:
    ledger = started()
    said = alert(run=run)
    said = replace(said, subject=name)
    assert len(ledger.update(run, [said], 100.0)) == 1
    (delivery,) = ledger.due("slack", 1e9)
    assert (delivery.run, delivery.document["subject"]) == (run, name)
    ledger.close()
