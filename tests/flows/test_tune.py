"""`graft tune` at the door: what it refuses, and what it leaves behind."""

import json

import pytest

from flows.cli import main
from flows.runs import find_run, runs_of
from flows.stages import only_run, stale_stages
from flows.workspaces import init
from tasks.contracts.params_file import load_params, override
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tests.conftest import write_images
from tests.flows.conftest import SETTINGS, graft, make, run_stages

QUICK = [*SETTINGS, "train.strategy=feature_extraction", "train.device=cpu", "select.download=false"]


@pytest.fixture(scope="module")
def selected(tmp_path_factory) -> Workspace:
    """A workspace in which every stage before training is fresh."""
    ws = make(tmp_path_factory.mktemp("selected"), QUICK)
    run_stages(ws, "select")
    return ws


def door(capsys, ws: Workspace, *arguments: str) -> tuple[int, str, str]:
    code = main(["--workspace", str(ws.root), "tune", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("arguments", [("--budget", "10"), ("--trials", "0"), ("--budget", "0m")])
def test_limits_without_sense_are_usage_errors(capsys, selected, arguments):
    code, _, err = door(capsys, selected, *arguments)
    assert code == 2
    assert "expected" in err


def test_a_workspace_that_was_not_run_is_told_to(capsys, tmp_path):
    code, _, err = door(capsys, init(tmp_path / "new", write_images(tmp_path / "photos", 6)))
    ws = Workspace(tmp_path / "new")
    assert code == 2
    assert "`graft run --until select` first" in err
    assert runs_of(ws) == []


def test_a_run_or_another_search_keeps_it_out(selected):
    with only_run(selected):
        refused = graft(selected, "tune", "--trials", "1")
    assert refused.returncode == 4
    assert "is in use by " in refused.stderr
    assert ", process " in refused.stderr


def test_it_searches_applies_and_leaves_only_training_to_be_run(capsys, selected):
    before = selected.params.read_text()
    code, out, err = door(capsys, selected, "--trials", "5", "--json")
    assert code == 0, err
    found = json.loads(out)
    report = found["report"]
    assert report["trials"][0]["is_present"]
    assert len(report["trials"]) == 5
    assert found["changes"] == []
    assert selected.params.read_text() == before
    assert report == read_json(selected.tuning)
    assert 'id="tuning"' in selected.page.read_text()
    assert (find_run(selected).flow, find_run(selected).state) == ("tune", "done")
    assert find_run(selected).why.startswith("best of 5 trials: val accuracy")
    code, out, _ = door(capsys, selected, "--trials", "5", "--apply")
    assert code == 0
    assert "flatters the best" in out
    after = load_params(selected.params)
    best = report["trials"][report["best"]]
    assert after.train.strategy == best["strategy"]
    assert after.train.learning_rate == best["settings"]["train.learning_rate"]
    assert selected.params.read_text().count("#") == before.count("#")
    stale = {name for name, why in stale_stages(selected).items() if why}
    assert stale >= {"train", "evaluate", "register"}
    assert not stale & {"ingest", "quality", "bias", "select"}


def test_stale_data_are_refused(capsys, selected):
    override(selected.params, ["quality.min_kept=0.4"])
    code, _, err = door(capsys, selected, "--trials", "1")
    assert code == 2
    assert "quality.min_kept: 0.5 -> 0.4" in err
