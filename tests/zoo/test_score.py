"""How truth and alerts become outcomes and numbers."""

from __future__ import annotations

import pytest

from monitor.notices import AlertDocument

pytest.importorskip("torch")

from tests.zoo.kinds import Truth
from tests.zoo.score import Outcome, judge, lines, total
from tests.zoo.script import Note

NOTE = Note(onset=400, known=True, last=999)
CLIMB = Truth("divergence", frozenset({"oscillation"}), frozenset({"loss_spike"}))


def alert(detector: str, step: int, severity: str = "warning", advice: str = "") -> AlertDocument:
    return AlertDocument(
        run=".", alert=detector, detector=detector, severity=severity, subject="loss",
        onset_step=step, fired_step=step, fired_wall_time=float(step), resolved_step=None,
        value=1.0, summary="", advice=advice,
    )  # fmt: skip


def outcome(truth: Truth, *alerts: AlertDocument, note: Note = NOTE) -> Outcome:
    return judge("kind", 0, truth, note, alerts)


def test_found_by_name_with_its_delay() -> None:
    found = outcome(CLIMB, alert("divergence", 450))
    assert (found.found, found.by_name, found.delay, found.false) == ("divergence", True, 50, False)
    assert found.share == pytest.approx(50 / 999)


def test_found_under_another_name_that_is_as_right() -> None:
    found = outcome(CLIMB, alert("oscillation", 410), alert("loss_spike", 405))
    assert (found.found, found.by_name, found.delay) == ("oscillation", False, 10)
    assert found.beside == ("loss_spike",)
    assert not found.false


def test_missed_and_misnamed() -> None:
    missed = outcome(CLIMB, alert("overfitting", 500), alert("plateau", 600, "info"))
    assert missed.found == ""
    assert missed.delay is None
    assert (missed.wrong, missed.quiet) == (("overfitting",), ("plateau",))


def test_a_consequence_alone_does_not_find_the_fault() -> None:
    assert outcome(CLIMB, alert("loss_spike", 500)).found == ""


def test_right_before_anything_was_wrong_is_wrong() -> None:
    early = outcome(CLIMB, alert("divergence", 399))
    assert early.early == ("divergence",)
    assert early.found == ""
    assert early.false


def test_before_an_onset_that_was_computed_it_is_in_time() -> None:
    quick = outcome(CLIMB, alert("divergence", 380), note=Note(onset=400, known=False, last=999))
    assert (quick.found, quick.delay, quick.false) == ("divergence", 0, False)


def test_too_quiet_is_missed() -> None:
    quiet = outcome(CLIMB, alert("divergence", 450, "info"))
    assert quiet.found == ""
    assert quiet.by_name
    noted = outcome(Truth("plateau", severity="info"), alert("plateau", 450, "info"))
    assert noted.found == "plateau"


def test_a_healthy_run_may_be_noted_but_not_warned_of() -> None:
    assert not outcome(Truth(), alert("plateau", 3, "info")).false
    assert outcome(Truth(), alert("plateau", 3)).false
    assert not outcome(Truth(beside=frozenset({"plateau"})), alert("plateau", 3)).false


def test_advice_has_to_say_what_helps() -> None:
    truth = Truth("oscillation", advice="learning rate")
    assert outcome(truth, alert("oscillation", 500, advice="Pray.")).unadvised
    good = alert("oscillation", 500, advice="Lower the Learning Rate.")
    assert not outcome(truth, good).unadvised


def test_numbers_over_many_runs() -> None:
    some = [
        outcome(CLIMB, alert("divergence", 420)),
        outcome(CLIMB, alert("divergence", 600), alert("stalled", 700)),
        outcome(CLIMB),
        outcome(Truth(), alert("divergence", 1)),
        outcome(Truth()),
    ]
    all_of_it = total(some)
    assert (all_of_it.faulty, all_of_it.found, all_of_it.misnamed) == (3, 2, 1)
    assert (all_of_it.healthy, all_of_it.alarmed) == (2, 1)
    assert (all_of_it.delay, all_of_it.within) == (110, 1)
    divergence, stalled = lines(some)
    assert (divergence.runs, divergence.found, divergence.false) == (3, 2, 1)
    assert (stalled.runs, stalled.false, stalled.delay) == (0, 1, None)
