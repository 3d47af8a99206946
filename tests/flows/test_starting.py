"""The champion as a start: pinned before an unattended run, held against today's splits, said where it cannot be."""

import json
import shutil
from pathlib import Path

import pytest

from flows import worktrees
from flows.snapshots import keep
from flows.stages import bring_up_to_date
from flows.starting import pin_start
from flows.unattended import retrain_once
from flows.workspaces import git
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import read_table, sha256_of, write_record, write_table
from tasks.contracts.params_file import load_params, override
from tasks.contracts.records import read_json
from tasks.contracts.run_records import Trigger
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.register.registry import champion, history, versions
from tasks.register.saved import bundle_of
from tasks.train.opening import open_task
from tasks.train.pinned import find_start, read_pin
from tests.conftest import write_images
from tests.flows.conftest import commit, first_version
from tests.flows.unattended import QUICK, in_process

pytestmark = pytest.mark.slow  # the rules without a registry are in tests/train/test_start.py
TUNED = [*QUICK, "train.strategy=fine_tuning"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Workspace:
    """A small workspace whose champion is fine-tuned, made by an unattended run. Not to be changed."""
    return first_version(tmp_path_factory.mktemp("tuned"), TUNED)


@pytest.fixture
def ws(tuned, tmp_path) -> Workspace:
    return Workspace(Path(shutil.copytree(tuned.root, tmp_path / "a copy", symlinks=True)))


@pytest.fixture
def place(ws) -> Workspace:
    """Where an unattended run would work now, with the outputs of the champion's run."""
    return worktrees.make_worktree(ws, "x1", (worktrees.pinned_commit(ws), versions(ws)[0].commit), keep(ws))


def found_in(place: Workspace, **changes):
    params = load_params(place.params)
    task, classes = open_task(place, params.train, params.seed)
    return find_start(place, params.train.model_copy(update=changes), task, classes)


def test_the_first_run_has_nothing_to_pin(tuned):
    (version,) = versions(tuned)
    assert version.champion
    assert version.note["start"] == "started from the backbone: no version is pinned, which graft retrain does"
    assert git(tuned, "show", f"{version.commit}:models/start.json") == tuned.start.read_text().strip()
    assert "models/start.json" in git(tuned, "show", f"{version.commit}:dvc.lock")


def test_the_champion_is_pinned_with_all_that_its_weights_know(ws, place):
    pin_start(ws, place)
    version = champion(ws)
    pin = read_pin(place)
    weights = bundle_of(ws, version) / "weights.safetensors"
    assert (pin.version, pin.weights_sha256, pin.why) == ("model@1", sha256_of(weights), "")
    assert pin.learned == {"model@1": version.commit}
    start, why = found_in(place)
    assert why == ""
    assert start.seen == set(usable(read_table(place.checked), "train")["sha256"])
    assert found_in(place, start="backbone") == (None, "started from the backbone: train.start says so")
    first = place.start.read_bytes()
    pin_start(ws, place)
    assert place.start.read_bytes() == first
    assert str(ws.root) not in place.start.read_text()


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_image_that_the_champion_learned_from_and_is_held_out_now_refuses_its_start(ws, place, split):
    pin_start(ws, place)
    checked = read_table(place.checked)
    one = checked.index[(checked["split"] == "train") & (checked["verdict"] != "quarantine")][0]
    write_table(place.checked, checked.assign(split=checked["split"].where(checked.index != one, split)))
    why = f"model@1 was not tried: it learned from images that are held out now (1 of {split})"
    assert found_in(place) == (None, f"started from the backbone: {why}")


def test_splits_stay_so_that_what_the_champion_learned_is_never_held_out(ws, place):
    write_images(place.raw, 6, seed=9)
    pin_start(ws, place)
    for name in ("ingest", "quality"):
        bring_up_to_date(place, name)
    assert len(read_table(place.checked)) == 60
    checked = read_table(place.checked)
    write_table(place.weights, checked[["sha256"]].drop_duplicates().assign(weight=1.0))  # as `bias` does
    start, why = found_in(place)
    assert (start.version, why) == ("model@1", "")


def test_a_broken_champion_is_said_in_a_line_and_training_starts_from_the_backbone(ws, place, capsys):
    weights = bundle_of(ws, champion(ws)) / "weights.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-8] + b"\x00" * 8)
    pin_start(ws, place)
    said = [line for line in capsys.readouterr().err.splitlines() if "training does not start from model@1" in line]
    assert len(said) == 1
    assert "weights.safetensors" in said[0]
    why = "model@1, the champion, could not be used when the run began"
    assert (read_pin(place).version, read_pin(place).why) == ("", why)
    assert found_in(place) == (None, f"started from the backbone: {why}")


def test_a_champion_whose_images_are_forgotten_is_no_start(ws, place, capsys):
    shutil.rmtree(ws.root / ".dvc" / "cache")
    shutil.rmtree(ws.cache / "checked", ignore_errors=True)
    pin_start(ws, place)
    assert read_pin(place).version == ""
    assert "training does not start from model@1, the champion, but from the backbone" in capsys.readouterr().err


def test_a_pin_that_is_not_here_as_it_was_stops_the_stage_in_a_line(ws, place):
    pin_start(ws, place)
    pin = read_pin(place)
    write_record(place.start, type(pin)(pin.version, pin.weights_sha256, {pin.version: "f" * 40}))
    with pytest.raises(
        BrokenArtifact, match="names model@1 of commit ffffffffffff, which is not here; `git fetch --tags`"
    ):
        found_in(place)
    write_record(place.start, type(pin)(pin.version, "0" * 64, pin.learned))
    with pytest.raises(BrokenArtifact, match=r"weights.safetensors is not what .*start.json names"):
        found_in(place)


def test_a_retrain_tries_the_champion_and_keeps_what_is_best_on_val(ws):
    write_images(ws.raw, 3, seed=50)
    run = retrain_once(ws, Trigger("more images"), in_process)
    version = versions(ws)[-1]
    assert (run.version, version.name) == ("model@2", "model@2")
    pin = json.loads(git(ws, "show", f"{version.commit}:models/start.json"))
    assert (pin["version"], pin["learned"]) == ("model@1", {"model@1": versions(ws)[0].commit})
    model = read_json(bundle_of(ws, version) / "bundle.json")["model"]
    assert {one["start"] for one in model["compared"]} == {"", "model@1"}
    best = max(model["compared"], key=lambda one: (one["val_accuracy"], -one["val_loss"]))
    assert (model["started_from"], model["start"]) == (best["start"], version.note["start"])
    assert version.note["start"].startswith(f"started from {best['start'] or 'the backbone'}: val ")
    assert model["learned"] == (pin["learned"] if best["start"] else {})
    log = (ws.root / run.log).read_text()
    assert version.note["start"] in log
    assert git(ws, "status", "--porcelain", "--", "models") == ""

    override(ws.params, ["quality.splits={train: 0.4, val: 0.3, promotion: 0.1, test: 0.2}"])
    commit(ws, "other splits")
    run = retrain_once(ws, Trigger("other splits"), in_process)
    assert "quality: 0 files read, 51 known" in (ws.root / run.log).read_text()  # the run before read the same links
    said = history(ws).versions[-1].note["start"]
    assert said.startswith("started from the backbone: model@1 was not tried: it learned from images that are held out")
