"""The zoo is what it claims to be, and a handful of its runs draw their verdicts; all: make zoo."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.detectors import DETECTORS
from monitor.rules import load
from tests.processes import run

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("tensorboard")

from tests.zoo.kinds import Kind, Truth, kinds
from tests.zoo.record import Recorded, complete, record, recorded
from tests.zoo.replay import alerts_of, records_of
from tests.zoo.report import by_detector, complaints, story, summary
from tests.zoo.score import judge
from tests.zoo.script import Script
from tests.zoo.source import fingerprint

pytestmark = pytest.mark.torch

CONTRACT = {
    "nonfinite",
    "divergence",
    "loss_spike",
    "oscillation",
    "slow_learning",
    "plateau",
    "early_decay",
    "not_learning",
    "overfitting",
    "stalled",
    "throughput_drop",
    "vanishing_gradient",
    "exploding_gradient",
    "dead_units",
    "saturated_units",
    "bad_init",
    "bad_init_hidden_by_norm",
    "unnormalised_input",
    "unchanged_weights",
    "update_ratio",
    "gradient_noise",
    "optimizer_state_lost",
    "loss_scale_collapse",
    "rank_divergence",
    "model_audit",
}
"""What the rule files of users and their dashboards name; threshold and expression are theirs."""

HEADER = b"monitor/header"

SAMPLE = {
    "weights_far_too_wide", "nan_in_the_data", "rate_far_too_high", "adam_at_one_half",
    "twelve_sigmoids", "process_killed", "deadly_triad",
    "mlp_digits_scalars_only", "regression_diabetes", "tiny_loss", "negative_loss",
    "fine_tuning_frozen", "scaler_skips", "once_an_epoch", "uneven_steps",
}  # fmt: skip


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="module")
def nan_run(zoo: Path) -> Recorded:
    return record(zoo, kinds()["nan_in_the_data"], 0)


def test_there_are_thirty_healthy_kinds() -> None:
    assert sum(not kind.truth.fault for kind in kinds().values()) >= 30


def test_each_fault_has_two_kinds() -> None:
    faults = Counter(kind.truth.fault for kind in kinds().values() if kind.truth.fault)
    assert faults.keys() == CONTRACT
    assert min(faults.values()) >= 2, faults


def test_some_kinds_have_the_hook_and_some_have_not() -> None:
    hooked = Counter(kind.hook for kind in kinds().values())
    assert min(hooked.values()) >= 10


def test_the_truth_speaks_of_detectors_that_exist_or_are_promised() -> None:
    for kind in kinds().values():
        named = kind.truth.right | kind.truth.beside
        assert named <= CONTRACT | DETECTORS.keys(), kind.name
        assert not kind.truth.right & kind.truth.beside, kind.name
        assert kind.about, f"{kind.name} says nothing of itself"


def test_the_case_study_is_there_whole() -> None:
    steps = {name.split("_")[1] for name in kinds() if name.startswith("case_")}
    assert steps == set("12345678")


@pytest.mark.parametrize("name", sorted(SAMPLE))
def test_a_sample_draws_its_verdict(name: str, zoo: Path) -> None:
    kind = kinds()[name]
    made = recorded(zoo, kind, 0) or record(zoo, kind, 0)
    outcome = judge(name, 0, kind.truth, made.note, alerts_of(made, load(None)))
    assert not outcome.false, story(outcome)
    assert bool(outcome.found) == bool(kind.truth.fault), story(outcome)
    assert not outcome.unadvised


def test_the_command_says_the_same(nan_run: Recorded) -> None:
    result = run("check", nan_run.place, "--format", "json")
    assert result.returncode == 1
    assert json.loads(result.stdout) == alerts_of(nan_run, load(None))


def test_live_and_afterwards_are_the_same_but_for_silence(nan_run: Recorded) -> None:
    begin = 1_750_000_000.0
    watched = replace(nan_run, note=replace(nan_run.note, hears=[begin + 20, begin + 90]))
    assert alerts_of(watched, load(None)) == alerts_of(nan_run, load(None))


def test_a_finished_run_is_not_made_again(zoo: Path, nan_run: Recorded) -> None:
    before = {path: path.stat().st_mtime_ns for path in nan_run.place.iterdir()}
    assert complete(zoo, [nan_run.kind], [0], jobs=1) == []
    assert {path: path.stat().st_mtime_ns for path in nan_run.place.iterdir()} == before


def test_half_a_run_is_none(tmp_path: Path) -> None:
    def breaks(script: Script) -> None:
        script.scalar("loss", 1.0, 0)
        raise OSError("disk full")

    kind = Kind("breaks", Truth(), breaks)
    with pytest.raises(OSError, match="disk full"):
        record(tmp_path, kind, 0)
    assert recorded(tmp_path, kind, 0) is None


def test_other_code_is_another_run() -> None:
    def one(script: Script) -> None:
        script.scalar("loss", 1.0, 0)

    def two(script: Script) -> None:
        script.scalar("loss", 2.0, 0)

    codes = {fingerprint(Kind("same", Truth(), recipe, False)) for recipe in (one, two)}
    assert len(codes) == 2


def test_what_a_recipe_names_is_part_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.zoo import healthy_rates

    kind = kinds()["warmup"]
    before = fingerprint(kind)
    monkeypatch.setattr(healthy_rates, "_noisy", lambda seed: None)
    assert fingerprint(kind) != before


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    first, second = (record(tmp_path / place, kinds()["tiny_loss"], 3) for place in "ab")
    assert _told(first) == _told(second)


def _told(run: Recorded) -> list[int]:
    """What the files say, as checksums; headers bear the time at which a thread wrote them."""
    files = sorted(run.place.glob("*tfevents*"))
    records = [data for file in files for _, data in records_of(file) if HEADER not in data]
    assert len(files) == 2
    assert len(records) > 600
    return [zlib.crc32(data) for data in records]


def test_the_report_names_what_went_wrong(nan_run: Recorded) -> None:
    alerts = alerts_of(nan_run, load(None))
    wrong = [judge("nan", 0, truth, nan_run.note, alerts) for truth in (Truth(), Truth("stalled"))]
    assert "FALSE nonfinite 2/2" in complaints(wrong)
    assert "missed stalled 1/2" in complaints(wrong)
    assert "0 of 1 (0 %)" in summary(wrong)
    assert "`stalled`" in by_detector(wrong)
