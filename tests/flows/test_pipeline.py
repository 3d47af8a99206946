"""The pipeline whole: a real Prefect engine, a real git and DVC repository, real images."""

import json
import os
import shutil
import subprocess

import pandas as pd
import pytest
from ruamel.yaml import YAML

from flows.stages import STAGES, bring_up_to_date, run_step, stale_stages
from tasks.contracts.params_file import override
from tasks.contracts.records import read_json
from tests.conftest import write_images
from tests.flows.conftest import BIN, commit, graft, make, run_stages

RAN_AFTER_TRAIN = ["train", "evaluate", "register"]


def dvc(ws, *arguments):
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["dvc", *arguments], cwd=ws.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def output_hashes(ws) -> dict[str, str]:
    lock = YAML(typ="safe").load((ws.root / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def did(outcomes) -> dict[str, str]:
    return {name: outcome.action for name, outcome in outcomes.items()}


def test_a_run_ends_with_one_screen_that_says_it_all(finished):
    screen = (finished.private / "screen.txt").read_text()
    for part in (
        "121 found",
        "1 quarantined",
        "formula_resnet18",
        "left out",
        "accuracy",
        "scratch",
        "model@1, champion",
    ):
        assert part in screen
    assert str(finished.page) in screen
    assert "Traceback" not in (finished.private / "lines.txt").read_text()


def test_found_is_kept_and_quarantined_and_the_page_names_the_broken_file(finished):
    quality, checked = read_json(finished.quality), pd.read_parquet(finished.checked)
    assert quality["found"] == quality["kept"] + quality["quarantined"] == len(checked) == 121
    broken = checked[checked["verdict"] == "quarantine"].iloc[0]
    assert (broken["path"], list(broken["reasons"])) == ("circles/cut.png", ["truncated"])
    assert "circles/cut.png" in finished.page.read_text()


def test_after_a_run_dvc_has_nothing_to_do_and_git_shows_only_the_record(finished):
    assert "up to date" in dvc(finished, "status")
    assert "Running stage" not in dvc(finished, "repro")
    shown = subprocess.run(["git", "status", "--short"], cwd=finished.root, capture_output=True, text=True, check=True)
    assert {line[3:] for line in shown.stdout.splitlines()} <= {"dvc.lock", "data/raw.dvc", "reports/metrics.json"}


def test_a_second_run_runs_no_stage_and_registers_nothing(workspace):
    done = graft(workspace, "run", "--offline", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {stage["action"] for stage in found["stages"]} == {"skipped"}
    assert found["version"]["name"] == "model@1"
    assert "Prefect" not in done.stderr


def test_repro_in_a_fresh_workspace_gives_the_same_hashes_and_leaves_a_run_nothing(finished, tmp_path):
    fresh = make(tmp_path)
    dvc(fresh, "repro")
    assert output_hashes(fresh) == output_hashes(finished)
    assert set(did(run_stages(fresh)).values()) == {"skipped"}


def test_the_stages_of_dvc_yaml_ask_for_the_results_that_the_steps_make():
    import importlib

    from flows import cli
    from flows.stages import STEPS
    from flows.workspaces import template

    stages = YAML(typ="safe").load((template() / "dvc.yaml").read_text())["stages"]
    assert list(stages) == list(STEPS) == list(cli.STAGES)
    for name, stage in stages.items():
        assert stage["cmd"] == f"graft stage {name} --results-version {importlib.import_module(STEPS[name]).VERSION}"


def test_a_param_of_training_reruns_training_and_what_follows(workspace):
    override(workspace.params, ["train.dropout=0.3"])
    outcomes = run_stages(workspace)
    assert did(outcomes) == {name: "ran" if name in RAN_AFTER_TRAIN else "skipped" for name in STAGES}
    assert outcomes["train"].why == "train.dropout: 0.2 -> 0.3"
    override(workspace.params, ["train.dropout=0.2"])
    assert did(run_stages(workspace)) == {name: "restored" if name in RAN_AFTER_TRAIN else "skipped" for name in STAGES}


def test_a_new_image_moves_no_old_one(workspace):
    before = pd.read_parquet(workspace.checked).set_index("path")["split"]
    write_images(workspace.raw, 1, seed=9)
    assert did(run_stages(workspace, "quality")) == {"ingest": "ran", "quality": "ran"}
    after = pd.read_parquet(workspace.checked).set_index("path")["split"]
    assert len(after) == len(before) + 3
    pd.testing.assert_series_equal(after[before.index], before)


def test_two_trainings_with_one_seed_are_byte_equal(workspace):
    def weights():
        files = (folder / "weights.safetensors" for folder in (workspace.candidate, workspace.scratch))
        return [file.read_bytes() for file in files]

    before = weights()
    run_step(workspace, "train")
    assert weights() == before


def test_a_stage_that_dies_leaves_nothing_half_written_and_the_next_run_goes_on(workspace, monkeypatch):
    import tasks.train.step

    def die(*_):
        raise KeyboardInterrupt

    override(workspace.params, ["train.dropout=0.4"])
    with monkeypatch.context() as patch:
        patch.setattr(tasks.train.step, "save_model", die)
        with pytest.raises(KeyboardInterrupt):
            bring_up_to_date(workspace, "train")
    assert not workspace.candidate.exists()
    assert not list(workspace.root.rglob("*.part"))
    assert stale_stages(workspace)["train"]
    assert bring_up_to_date(workspace, "train").action == "ran"


def test_data_that_changes_under_a_stage_is_caught(workspace, monkeypatch):
    import tasks.ingest.step
    from tasks.contracts.errors import BadData

    step = tasks.ingest.step.run

    def run_and_write(*arguments):
        write_images(workspace.raw, 1, seed=10)
        return step(*arguments)

    write_images(workspace.raw, 1, seed=9)
    monkeypatch.setattr(tasks.ingest.step, "run", run_and_write)
    with pytest.raises(BadData, match="data/raw changed while ingest ran"):
        bring_up_to_date(workspace, "ingest")


def test_status_tells_what_would_run_and_what_follows_it(workspace):
    override(workspace.params, ["select.folds=4"])
    reasons = stale_stages(workspace)
    assert reasons["select"] == "select.folds: 3 -> 4"
    assert reasons["train"] == "it follows select"
    assert not any(reasons[name] for name in ("ingest", "quality", "bias", "augment"))


def test_a_version_that_was_cut_off_before_its_crown_gets_it_from_the_next_run(workspace):
    from flows.publish import publish
    from flows.workspaces import git

    git(workspace, "tag", "--delete", "model#champion#1")
    assert publish(workspace).title == "model@1, champion"
    assert "model#champion#1" in git(workspace, "tag")


def test_the_next_version_is_held_against_the_champion_on_the_promotion_split(workspace):
    from flows.publish import publish
    from tasks.contracts.samples import usable
    from tasks.register.registry import find_version, versions
    from tasks.register.saved import bundle_of

    override(workspace.params, ["train.learning_rate=1e-6"])  # learns nothing
    run_stages(workspace)
    version = publish(workspace)
    decision = version.note["decision"]
    assert (version.title, decision["promote"]) == ("model@2", False)
    assert decision["candidate"] <= decision["champion"]
    alone = usable(pd.read_parquet(workspace.checked), "promotion")["component"].nunique()
    assert decision["images"] == alone  # of images that belong together one stands for all
    assert {gate["name"] for gate in decision["gates"]} == {"groups", "calibration", "latency", "size"}
    assert find_version(workspace).number == 1
    weights = [(bundle_of(workspace, v) / "weights.safetensors").read_bytes() for v in versions(workspace)]
    assert weights[0] != weights[1] == (workspace.bundle / "weights.safetensors").read_bytes()


def test_a_changed_workspace_is_saved_where_git_knows_no_author(workspace, tmp_path):
    override(workspace.params, ["register.margin=0.02"])
    nobody = {"HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    command = [str(BIN / "graft"), "--workspace", str(workspace.root), "run", "--offline", "--set", "train.epochs=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=os.environ | nobody)
    assert done.returncode == 0, done.stderr
    assert "model@2" in done.stdout


def test_an_audit_after_a_run_pins_the_model_and_repeats_its_evaluation_while_the_data_are_the_same(workspace):
    from tasks.audit.document import draft
    from tasks.contracts.files import sha256_of
    from tasks.contracts.params_file import load_params

    report, _ = draft(workspace, load_params(workspace.params))
    weights = workspace.bundle / "weights.safetensors"
    assert report.subject.artifacts["models/bundle/weights.safetensors"] == sha256_of(weights)
    evaluation = read_json(workspace.evaluation)
    assert report.evaluation["candidate"]["accuracy"] == evaluation["candidate"]["accuracy"]
    assert "mistakes" not in report.evaluation
    assert ".png" not in json.dumps(report.evaluation)
    write_images(workspace.raw, 1, seed=9)
    run_stages(workspace, "bias")
    assert draft(workspace, load_params(workspace.params))[0].evaluation is None


def test_a_version_notes_the_whole_params_and_the_libraries(finished):
    from tasks.contracts.params_file import load_params
    from tasks.register.registry import find_version

    params = load_params(finished.params).model_dump(mode="json", by_alias=True, exclude={"operate"})
    note = find_version(finished).note
    assert note["params"] == params
    assert {"graft", "torch", "albumentations"} <= set(note["libraries"])


def test_a_tampered_output_is_made_again(workspace):
    workspace.selection.write_text("{}")
    assert bring_up_to_date(workspace, "select").action == "restored"
    assert read_json(workspace.selection)["report"] == "selection"


def test_a_new_class_closes_the_gate_until_the_contract_knows_it(workspace, tmp_path):
    more = write_images(tmp_path / "more", 40, seed=5) / "crosses"
    more.rename(workspace.raw / "zebras <b>")
    done = graft(workspace, "audit")
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    for part in ("(new: 'zebras <b>')", "relabel or remove", "edit contract.json, expectation 1", "rule: contract"):
        assert part in line
    page = workspace.page.read_text()
    assert "zebras &lt;b&gt;" in page
    assert "zebras <b>" not in page
    suite = json.loads(workspace.contract.read_text())
    suite["expectations"][0]["kwargs"]["value_set"].append("zebras <b>")
    workspace.contract.write_text(json.dumps(suite))
    outcomes = run_stages(workspace, "bias")
    assert (outcomes["quality"].action, outcomes["quality"].why) == ("ran", "contract.json is modified")
    assert read_json(workspace.gate)["passed"]
    shutil.rmtree(workspace.raw / "stripes")
    run_stages(workspace, "bias")
    assert not read_json(workspace.gate)["passed"]
    assert "(vanished: 'stripes')" in workspace.gate.read_text()
    override(workspace.params, ["bias.gate.waivers=[{rule: contract, reason: a test, by: the tester}]"])
    assert did(run_stages(workspace, "bias"))["quality"] == "skipped"
    assert read_json(workspace.gate)["passed"]


def test_a_closed_gate_stops_the_run_with_one_line_and_the_audit_stays(workspace):
    override(workspace.params, ["bias.gate.min_train_images=1000"])
    commit(workspace, "a strict gate")
    done = graft(workspace, "audit")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("graft: ")
    assert "min_train_images" in done.stderr.splitlines()[-1]
    assert read_json(workspace.gate)["passed"] is False
    assert "min_train_images" in workspace.page.read_text()
    waiver = "[{rule: min_train_images, reason: a test, by: the tester}]"
    override(workspace.params, [f"bias.gate.waivers={waiver}"])
    assert did(run_stages(workspace, "augment"))["augment"] == "ran"
