"""The search over settings, on real trainings of a small network and a real SQLite file."""

import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import BadData, BadUsage, BrokenArtifact
from tasks.contracts.model_records import Attempt
from tasks.contracts.params import Params, TrainParams
from tasks.contracts.params_file import load_params, override
from tasks.train.settings import recipe_of
from tasks.train.strategies import FeatureExtraction
from tasks.train.transfer import transfer
from tasks.tune import study as study_module
from tasks.tune.budget import FINE_FIRST, Room, Standing, next_strategy, parse_budget
from tasks.tune.records import Outcome
from tasks.tune.space import (
    TUNED,
    Choice,
    Range,
    fixed_part,
    place_of,
    settings_of,
    space_of,
    value_at,
    value_of,
    with_values,
)
from tasks.tune.study import open_studies
from tasks.tune.tuning import Limits, tune, value_of_attempt
from tests.train.tuned import only, tuning

ROOT = Path(__file__).parents[2]
HEADS = "feature_extraction"
STRATEGIES = (HEADS, "fine_tuning", "scratch")


def proposals(report) -> list[tuple[str, dict]]:
    return [(one.strategy, one.settings) for one in report.trials]


def test_the_present_setting_is_trial_0_and_the_best_is_never_worse(tmp_path):
    asked = tuning(tmp_path)
    report = only(HEADS, asked, Limits(trials=6))
    first, best = report.trials[0], report.trials[report.best]
    assert report.present == 0
    assert first.is_present
    assert first.settings == {
        knob.key: value_of(asked.params, knob.key) for knob in space_of(first.strategy, asked.params, 0)
    }
    assert best.outcome.val_accuracy >= first.outcome.val_accuracy
    assert len(report.trials) == 6
    alone = transfer(replace(asked.task, root=tmp_path, cache=tmp_path / "other"), FeatureExtraction()).on_val
    assert (alone.val_accuracy, alone.val_loss) == (first.outcome.val_accuracy, first.outcome.val_loss)


def test_equal_seeds_propose_the_same_and_other_seeds_do_not(tmp_path):
    first, again, other = (
        proposals(only(HEADS, tuning(tmp_path / name, seed=seed), Limits(trials=10)))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again != other
    assert len({str(one) for one in first}) == 10


def test_a_search_in_two_calls_tries_what_one_call_tries(tmp_path):
    whole = only(HEADS, tuning(tmp_path / "a"), Limits(trials=8))
    only(HEADS, tuning(tmp_path / "b"), Limits(trials=3))
    parted = only(HEADS, tuning(tmp_path / "b"), Limits(trials=8))
    assert proposals(parted) == proposals(whole)


@pytest.mark.parametrize("strategy", [HEADS, pytest.param("fine_tuning", marks=pytest.mark.slow)])
def test_a_killed_search_goes_on_and_counts_on(tmp_path, strategy):
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.train.tuned", str(killed), strategy, "1000"]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not {"COMPLETE", "RUNNING"} <= set(states(killed)):
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    left = states(killed)
    wanted = len(left) + 2  # a head is learned so fast that several were before the kill came
    report = only(strategy, tuning(killed, strategy=strategy), Limits(trials=wanted))
    assert report.interrupted == left.count("RUNNING") == 1
    assert 1 <= len(left) - 1 < len(report.trials) == wanted
    whole = only(strategy, tuning(tmp_path / "whole", strategy=strategy), Limits(trials=wanted))
    assert proposals(report) == proposals(whole)


def states(folder: Path) -> list[str]:
    """The states of all trials in the file, as another process sees them."""
    path = folder / "trials" / "trials.db"
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(path, timeout=30)) as file:
            return [state for (state,) in file.execute("SELECT state FROM trials ORDER BY trial_id")]
    except sqlite3.OperationalError:
        return []  # the tables are not made yet


class Ticking:
    """A clock that a training moves: each look at it is a tenth of a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


@pytest.mark.parametrize("seconds", [6.0, 12.0])
def test_the_budget_is_kept_within_one_epoch(tmp_path, seconds):
    clock = Ticking()
    report = tune(tuning(tmp_path, strategy="fine_tuning"), Limits(seconds=seconds), clock)
    steps = 3  # of an epoch: 36 images in batches of 16, each step and each epoch a look or two
    assert seconds * 0.5 < report.seconds <= seconds + 0.2 * (steps + 1)
    assert {one.name for one in report.left_out} & {"more of fine_tuning", "more of scratch", "scratch"}
    assert not (tmp_path / "trials" / "checkpoints").exists()


def test_a_budget_that_does_not_hold_the_present_setting_says_so_and_the_next_call_goes_on(tmp_path):
    with pytest.raises(BadUsage, match="does not hold one training with the present settings"):
        tune(tuning(tmp_path, strategy="fine_tuning"), Limits(seconds=0.6), Ticking())
    report = tune(tuning(tmp_path, strategy="fine_tuning"), Limits(trials=1))
    assert report.trials[0].is_present
    assert report.trials[0].outcome.epochs == 3


def test_trials_that_fall_behind_are_pruned_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "_PRUNED_BY", 2)
    monkeypatch.setattr(study_module, "_WARM_UP", 0)
    threads = threading.active_count()
    report = only("scratch", tuning(tmp_path, strategy="scratch", epochs=4), Limits(trials=6))
    pruned = [one for one in report.trials if one.outcome.state == "pruned"]
    assert pruned
    assert all(1 <= one.outcome.epochs < 4 for one in pruned)
    assert all(one.outcome.val_loss is not None for one in pruned)
    assert report.trials[report.best].outcome.state == "finished"
    assert threading.active_count() == threads


def test_a_trial_whose_loss_is_no_number_is_reported_and_the_present_one_is_an_error(tmp_path, monkeypatch):
    def hot(train, seed):
        return replace(recipe_of(train, seed), learning_rate=1e30 if train.learning_rate != cool else cool)

    monkeypatch.setattr("tasks.tune.trials.recipe_of", hot)
    cool = TrainParams().learning_rate
    report = only(HEADS, tuning(tmp_path), Limits(trials=3))
    assert [one.outcome.state for one in report.trials] == ["finished", "diverged", "diverged"]
    cool = 0.5
    with pytest.raises(BadData, match=r"lower train\.learning_rate"):
        only(HEADS, tuning(tmp_path / "other"), Limits(trials=3))


def test_an_error_that_is_not_of_the_settings_is_raised_and_does_not_stay(tmp_path, monkeypatch):
    def broken(*_arguments):
        raise BrokenArtifact("the weights have gone")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.tune.trials.train_head", broken)
        with pytest.raises(BrokenArtifact, match="have gone"):
            only(HEADS, tuning(tmp_path), Limits(trials=2))
    assert states(tmp_path) == ["FAIL"]
    assert len(only(HEADS, tuning(tmp_path), Limits(trials=2)).trials) == 2


def test_more_frozen_stages_than_there_are_is_refused_before_a_trial(tmp_path):
    asked = tuning(tmp_path)
    deep = replace(asked, params=with_values(asked.params, {"train.fine_tuning.frozen_stages": 99}))
    with pytest.raises(BadUsage, match="frozen_stages is 99, but there are 5 stages"):
        tune(deep, Limits(trials=1))
    assert states(tmp_path) == []


def test_another_data_set_seed_or_fixed_setting_is_another_study(tmp_path):
    first = tuning(tmp_path)
    others = [
        replace(first, checked_sha256="cd" * 32),
        replace(first, code="train 3"),
        tuning(tmp_path, seed=1),
        tuning(tmp_path, epochs=4),
        replace(first, task=replace(first.task, backbone=replace(first.task.backbone, name="other"))),
    ]
    assert len({first.name, *(one.name for one in others)}) == 6
    assert tuning(tmp_path, learning_rate=0.1).name == first.name
    assert tuning(tmp_path, workers=3).name == first.name


def test_settings_that_were_applied_are_measured_already(tmp_path):
    asked = tuning(tmp_path)
    report = only(HEADS, asked, Limits(trials=6))
    best = report.trials[report.best]
    applied = replace(asked, params=with_values(asked.params, {"train.strategy": best.strategy, **best.settings}))
    again = only(HEADS, applied, Limits(trials=6))
    assert len(again.trials) == 6
    assert again.settings == ()
    assert again.trials[again.present].settings == best.settings


def test_the_best_settings_go_into_params_yaml_and_leave_its_comments(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    before = load_params(path)
    values = {
        "train.strategy": "feature_extraction",
        "train.learning_rate": 1.23e-05,
        "train.weight_decay": 0.0,
        "train.fine_tuning.gradual": True,
        "train.fine_tuning.frozen_stages": 3,
        "augment.policy": "none",
    }
    override(path, list(settings_of(before, values)))
    after = load_params(path)
    assert {key: value_of(after, key) for key in values} == values
    comments = [line.partition("#")[2] for line in path.read_text().splitlines() if "#" in line]
    assert comments == [
        line.partition("#")[2] for line in (ROOT / "params.yaml").read_text().splitlines() if "#" in line
    ]
    override(path, list(settings_of(after, {key: value_of(before, key) for key in values})))
    assert load_params(path) == before


def test_a_file_that_is_no_study_is_said(tmp_path):
    (tmp_path / "trials.db").write_bytes(b"not a database" * 100)
    with pytest.raises(BrokenArtifact, match="move it away"):
        open_studies(tmp_path / "trials.db", ["a"], 0, 3)


def test_a_study_lies_under_any_path(tmp_path):
    path = tmp_path / "50% ?#& ü" / "trials.db"
    open_studies(path, ["a"], 0, 3)["a"].queue({"x": 0.5})
    assert path.is_file()


def test_importances_of_few_trials_are_not_told_and_of_many_they_are(tmp_path):
    knobs = (Range("strong", 0.0, 1.0), Range("weak", 0.0, 1.0))
    study = open_studies(tmp_path / "trials.db", ["a"], 0, 3)["a"]
    for count in range(20):
        proposal = study.propose(knobs, {"strong": 0.5, "weak": 0.5})
        study.close(proposal, Outcome("finished", 1.0), proposal.values["strong"] + 0.01 * proposal.values["weak"])
        if count == 3:
            assert {share.status for share in study.importances("a").shares} == {"too_small"}
    shares = {share.name: share.value for share in study.importances("a").shares}
    assert shares["strong"] > 0.8 > 0.2 > shares["weak"]


@given(st.floats(0, 1), st.floats(0, 3), st.sampled_from(["linear", "power"]))
def test_a_place_has_a_value_and_the_present_value_its_place(place, present, scale):
    knob = Range("x", 0.0, 3.0, scale)
    assert value_at(knob, place_of(knob, present), present) == present
    value = value_at(knob, place, 2.9999)
    assert place_of(knob, value) == pytest.approx(place, rel=0.01, abs=1e-9)


def test_every_knob_is_a_setting_that_graft_has_and_its_ends_are_allowed():
    params = Params()
    for strategy in STRATEGIES:
        for knob in space_of(strategy, params, 4):
            assert knob.key in TUNED
            ends = knob.options if isinstance(knob, Choice) else (knob.low, knob.high)
            for end in ends:
                assert value_of(with_values(params, {knob.key: end}), knob.key) == end
    assert not TUNED & {f"train.{key}" for key in fixed_part(params)["train"]}


def test_interpolation_keeps_its_probe():
    params = Params(train=TrainParams(fine_tuning={"interpolate": True, "probe_first": True}))
    assert "train.fine_tuning.probe_first" not in {knob.key for knob in space_of("fine_tuning", params, 4)}


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 20), st.floats(0, 20))
def test_an_image_more_counts_more_than_any_loss(right, other, loss, other_loss):
    ours, theirs = (value_of_attempt(Attempt("", n / 50, of), 50) for n, of in ((right, loss), (other, other_loss)))
    if right > other:
        assert ours > theirs
    elif right == other and loss < other_loss - 1e-6:
        assert ours >= theirs


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_budgets(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "0s", "-3m", "1d", "10m ", "1e3s", ""])
def test_a_budget_without_sense_is_refused(text):
    with pytest.raises(BadUsage, match="10m"):
        parse_budget(text)


def standing(strategy, ended=0, best=-math.inf, cost_s=None) -> Standing:
    return Standing(strategy, ended, best, cost_s)


def test_heads_first_then_networks_that_fit():
    heads, fine, scratch = (standing(name) for name in STRATEGIES)
    assert next_strategy(heads, fine, scratch, Room(seconds=600)) == "feature_extraction"
    heads = standing("feature_extraction", 24, 0.7, 0.5)
    assert next_strategy(heads, fine, scratch, Room(seconds=600)) == "fine_tuning"
    fine = standing("fine_tuning", FINE_FIRST, 0.8, 100)
    assert next_strategy(heads, fine, scratch, Room(seconds=600)) == "scratch"
    scratch = standing("scratch", 1, 0.6, 90)
    assert next_strategy(heads, fine, scratch, Room(seconds=600)) == "fine_tuning"
    assert next_strategy(heads, fine, scratch, Room(seconds=95)) == "feature_extraction"
    assert next_strategy(heads, fine, scratch, Room(seconds=0.4)) is None
    assert next_strategy(heads, fine, scratch, Room(trials=0)) is None
    assert next_strategy(heads, replace(fine, ended=30), scratch, Room()) == "scratch"
