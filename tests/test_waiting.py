"""What waits unread changes nothing: every alert comes with the very pass that raises it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.attempts import Attempt
from monitor.detectors.exploding_gradient import ExplodingGradient
from monitor.detectors.nonfinite import NonFinite
from monitor.detectors.threshold import Threshold
from monitor.engine import Engine
from monitor.follower import Follower
from monitor.formats import glance
from monitor.points import ALL, FINITE, NOTHING, WHATEVER
from monitor.rules import RuleSet, Span, Unit
from monitor.sources import cursor as cursors
from monitor.sources.cursor import FLOWING, GLANCED_BYTES, WAITS_SECONDS, Counters, Cursor
from monitor.sources.tail import LocalFile
from tests.bench.recordfiles import TRAIN, series
from tests.toys import AboveContext, CurveMean, batch, rule, rule_set, scalar_points, tag

RULES = (
    rule("Broken", NonFinite(), match=tag("loss")),
    rule("High", Threshold(above=2.5), hold=Span(2, Unit.POINTS), match=tag("loss|norm")),
    rule("Exploding", ExplodingGradient(factor=3, memory=60, points=30), match=tag("norm")),
    rule("Curve", CurveMean(1.2), match=tag("loss")),
    rule("Joined", AboveContext(), match=tag("other")),
)


@pytest.fixture(autouse=True, scope="module")
def _glances_from_the_first_read_on() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glance, "SETTLED", 0)
        yield


@dataclass(frozen=True)
class Piece:
    """What is written between two passes: some points of each of some series."""

    tags: frozenset[str]
    points: int
    level: float
    bad: float
    back: bool
    writer: str
    cut: int
    damaged: bool


def rarely(often: Any, *others: Any) -> st.SearchStrategy[Any]:
    """One of forty is one of the others."""
    return st.integers(0, 39).flatmap(lambda i: st.sampled_from(others) if i == 39 else often)


USUAL = frozenset({"loss", "norm", "lr"})
WARM = [Piece(USUAL, 30, 1.0, 0.0, False, "a", 0, False)] * 6
"""A run that has been going on: its curve is judged at every fourth point."""


def pieces(back: st.SearchStrategy[bool]) -> st.SearchStrategy[list[Piece]]:
    new = st.builds(
        Piece,
        st.sampled_from([USUAL, USUAL, USUAL, frozenset({"loss"}), frozenset({"norm"})])
        | rarely(st.just(USUAL), frozenset({"other"})),
        st.integers(1, 3),
        rarely(st.just(1.0), 1.5, 2.0, 4.0),
        rarely(st.just(0.0), math.nan, math.inf, 3.0),
        back,
        rarely(st.just("a"), "b"),
        st.sampled_from([0, 0, 0, 5, 30]),
        rarely(st.just(False), True),
    )
    return st.lists(new, min_size=20, max_size=60).map(lambda some: WARM + some)


MAKERS = {name: series(name) for name in ("loss", "norm", "other", "lr")}


def appended(directory: Path, written: Sequence[Piece]) -> Iterator[None]:
    """Appends piece after piece; the last bytes of some come with the next of the same file."""
    step, rest = 40, {"a": b"", "b": b""}
    for number, piece in enumerate(written):
        step = 0 if piece.back else step
        records = [
            MAKERS[name](
                1.7e9 + 0.01 * (number * 12 + i),
                step + i,
                piece.level
                + 0.1 * math.sin(step + i)
                + (piece.bad if i == piece.points - 1 else 0.0),
            )
            for i in range(piece.points)
            for name in sorted(piece.tags)
        ]
        step += piece.points
        data = b"".join(records)
        if piece.damaged:
            data = data[:20] + bytes([data[20] ^ 4]) + data[21:]
        data = rest[piece.writer] + data
        cut = len(data) - piece.cut
        rest[piece.writer] = data[cut:]
        with (directory / f"events.out.tfevents.1.{piece.writer}").open("ab") as file:
            file.write(data[:cut])
        yield


def view_of(follower: Follower) -> Any:
    view = follower.views.get("run")
    return view and [
        (a.rule.alert, a.tags, a.fired, a.resolved, a.onset_step, a.evidence.seen)
        for a in view.alerts
    ]


def followed(root: Path, rules: RuleSet) -> Follower:
    (root / "run").mkdir()
    for writer in "ab":
        (root / "run" / f"events.out.tfevents.1.{writer}").touch()
    follower = Follower([root], rules)
    follower.dirs.rescan()
    return follower


def side_by_side(written: Sequence[Piece]) -> Iterator[tuple[Follower, Follower]]:
    """Who reads all at once, and who lets wait what can; after each piece."""
    with tempfile.TemporaryDirectory() as name:
        root, rules = Path(name), rule_set(*RULES)
        hasty, waiting = followed(root, rules), Follower([root], rules)
        waiting.dirs.rescan()
        for _ in appended(root / "run", written):
            hasty.read()
            waiting.read(everything=False)
            yield hasty, waiting


@settings(max_examples=150, deadline=None)
@given(pieces(st.just(False)))
def test_no_alert_is_later_or_other_than_if_all_was_read_at_once(written: list[Piece]) -> None:
    for hasty, waiting in side_by_side(written):
        assert view_of(waiting) == view_of(hasty)


def test_a_curve_is_judged_when_it_is_due() -> None:
    risen = Piece(frozenset({"loss"}), 1, 2.2, 0.0, False, "a", 0, False)
    fired = 0
    for hasty, waiting in side_by_side([*WARM, *[risen] * 120]):
        assert view_of(waiting) == view_of(hasty)
        fired += bool(view_of(hasty))
    assert 20 < fired < 100


@settings(max_examples=100, deadline=None)
@given(pieces(rarely(st.just(False), True)))
def test_in_the_end_all_is_read(written: list[Piece]) -> None:
    for number, (hasty, waiting) in enumerate(side_by_side(written), 1):
        if number < len(written):
            continue
        waiting.read()
        assert view_of(waiting) == view_of(hasty)
        assert waiting.dirs.stats == hasty.dirs.stats
        for run, view in hasty.views.items():
            np.testing.assert_equal(dict(waiting.views[run].scalars), dict(view.scalars))
            assert waiting.views[run].last_step == view.last_step


@pytest.fixture
def judgements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Points that were judged together, time after time."""
    found: list[int] = []
    advance = Attempt.advance

    def counted(attempt: Attempt, stretch: Any, *rest: Any) -> None:
        found.append(len(stretch))
        advance(attempt, stretch, *rest)

    monkeypatch.setattr(Attempt, "advance", counted)
    return found


def calm(count: int) -> list[Piece]:
    return [Piece(frozenset({"loss"}), 5, 1.0, 0.0, False, "a", 0, False)] * count


def test_what_is_of_no_interest_is_read_together(
    tmp_path: Path, judgements: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "WAITS_SECONDS", math.inf)
    follower = followed(tmp_path, rule_set(*RULES[:2]))
    for _ in appended(tmp_path / "run", calm(20)):
        follower.read(everything=False)
    assert judgements == [5] * FLOWING
    follower.read()
    assert judgements == [5] * FLOWING + [5 * (20 - FLOWING)]


@pytest.mark.parametrize("odd", [rule("Mean"), rule("Joined", AboveContext(), match=tag("loss"))])
def test_a_rule_that_cannot_foresee_is_shown_everything(
    tmp_path: Path, judgements: list[int], odd: Any
) -> None:
    follower = followed(tmp_path, rule_set(*RULES[:2], odd))
    for _ in appended(tmp_path / "run", calm(10)):
        follower.read(everything=False)
    assert judgements == [5] * 10


def test_a_firing_alert_ends_with_the_pass_that_ends_it(tmp_path: Path) -> None:
    follower = followed(tmp_path, rule_set(RULES[0]))
    broken = Piece(frozenset({"loss"}), 1, 1.0, math.nan, False, "a", 0, False)
    well = Piece(frozenset({"loss"}), 1, 1.0, 0.0, False, "a", 0, False)
    firing = []
    for _ in appended(tmp_path / "run", [well] * 5 + [broken] + [well] * 5):
        follower.read(everything=False)
        firing.append([alert.resolved is None for alert in follower.views["run"].alerts])
    assert firing == [[]] * 5 + [[True]] + [[False]] * 5


# --- one file ---------------------------------------------------------------------------


class Watched:
    """A file with some records read one by one, so that it flows."""

    def __init__(self, path: Path) -> None:
        self.path, self.make, self.step = path, series("loss"), 0
        self.cursor = Cursor(LocalFile(path), "run", "name", Counters())
        for _ in range(FLOWING):
            self.log(1.0)
            self.read()

    def log(self, *values: float, cut: int = 0) -> None:
        data = b"".join(self.make(1.7e9, self.step + i, v) for i, v in enumerate(values))
        self.step += len(values)
        with self.path.open("ab") as file:
            file.write(data[: len(data) - cut])

    def read(self, now: float = 0.0) -> list[float]:
        found = self.cursor.read(1 << 20)
        self.cursor.active_at = now
        return [v for one in found for points in one.points for v in points.values.tolist()]

    def can_wait(self, now: float = 0.0) -> bool:
        return self.cursor.can_wait(lambda *_: WHATEVER._replace(ranges=(FINITE,)), now)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "events")


def test_what_waits_is_read_after_a_while(watched: Watched) -> None:
    watched.log(1.0)
    assert watched.can_wait(now=0.1)
    watched.log(2.0)
    assert watched.can_wait(now=0.9 * WAITS_SECONDS)
    assert watched.can_wait(now=0.9 * WAITS_SECONDS)  # nothing new, but something waits
    assert not watched.can_wait(now=WAITS_SECONDS)
    assert watched.read(now=WAITS_SECONDS) == [1.0, 2.0]
    watched.log(3.0)
    assert watched.can_wait(now=WAITS_SECONDS + 0.1)


def test_what_is_rare_is_read_at_once(watched: Watched) -> None:
    for second in range(1, 5):
        watched.log(float(second))
        assert not watched.can_wait(now=second * WAITS_SECONDS)
        assert watched.read(now=second * WAITS_SECONDS) == [float(second)]


def test_nothing_new_does_not_wait(watched: Watched) -> None:
    assert not watched.can_wait()
    assert watched.read() == []
    watched.log(1.0)
    assert not watched.can_wait()  # it does not flow any more
    assert watched.read() == [1.0]


def test_what_is_of_interest_is_read_with_all_that_waits(watched: Watched) -> None:
    watched.log(1.0, 2.0)
    assert watched.can_wait()
    watched.log(3.0, math.nan)
    assert not watched.can_wait()
    np.testing.assert_equal(watched.read(), [1.0, 2.0, 3.0, math.nan])


def test_half_a_record_waits_for_its_other_half(watched: Watched) -> None:
    watched.log(1.0, math.nan, cut=3)
    assert watched.can_wait()
    with watched.path.open("ab") as file:
        file.write(watched.make(1.7e9, watched.step - 1, math.nan)[-3:])
    assert not watched.can_wait()
    np.testing.assert_equal(watched.read(), [1.0, math.nan])


def test_a_file_that_begins_anew_is_read_at_once(watched: Watched) -> None:
    watched.log(1.0)
    assert watched.can_wait()
    watched.path.write_bytes(watched.make(1.7e9, 0, 7.0))
    assert not watched.can_wait()
    assert watched.read() == [7.0]


def test_a_file_that_is_gone_or_grows_fast_does_not_wait(watched: Watched) -> None:
    watched.log(*[1.0] * (GLANCED_BYTES // 30))
    assert not watched.can_wait()
    watched.path.unlink()
    assert not watched.can_wait()


def test_glances_in_vain_become_rare(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    opened = LocalFile.pieces

    def pieces(medium: LocalFile, ranges: Any) -> Any:
        looked.append(1)
        return opened(medium, ranges)

    monkeypatch.setattr(LocalFile, "pieces", pieces)
    for _ in range(200):
        watched.log(math.nan)
        assert not watched.can_wait()
        watched.cursor.read(1 << 20)
    assert len(looked) < 200 + 15
    watched.log(1.0)
    while not watched.can_wait():  # and they come back
        watched.cursor.read(1 << 20)
        watched.log(1.0)


# --- what is of no interest -------------------------------------------------------------


def test_the_engine_knows_what_is_of_no_interest() -> None:
    engine = Engine(rule_set(*RULES, rule("Mean", match=tag("mean"))))
    assert engine.quiet("run", "w", "loss") == NOTHING  # never seen
    values = {name: scalar_points([1.0] * 40, tag=name, writer="w") for name in MAKERS}
    engine.feed(batch(*values.values(), scalar_points([1.0], tag="mean", writer="w")))
    assert engine.quiet("run", "w", "lr") == WHATEVER
    assert engine.quiet("run", "w", "mean") == NOTHING
    assert engine.quiet("run", "another", "loss") == NOTHING
    loss, norm = engine.quiet("run", "w", "loss"), engine.quiet("run", "w", "norm")
    assert loss.ranges == ((FINITE[0], 2.5),)
    assert loss.points == 2  # forty points: every other one is judged
    ((low, high),) = norm.ranges
    assert 0 < low < 1 < high < 3
    engine.feed(batch(scalar_points([math.nan], tag="loss", writer="w", steps=[40])))
    assert engine.quiet("run", "w", "loss") == NOTHING  # it fires


def test_a_detector_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> Any:
        raise ZeroDivisionError

    engine = Engine(rule_set(*RULES[:2]))
    engine.feed(batch(scalar_points([1.0], tag="loss", writer="w")))
    monkeypatch.setattr(Threshold, "never_bad", property(fails))
    assert engine.quiet("run", "w", "loss") == NOTHING
    assert engine.failures == {"High": "threshold: ZeroDivisionError: "}


def test_tags_of_a_usual_run_are_mostly_of_no_interest() -> None:
    from monitor.rules import load

    engine = Engine(load(None))
    engine.feed(batch(*(scalar_points([1.0] * 40, tag=name, writer="w") for name in TRAIN)))
    quiet = {name: engine.quiet("run", "w", name).ranges for name in TRAIN}
    assert all(quiet.values())
    assert quiet["train/accuracy"] in ((ALL,), (FINITE,))
