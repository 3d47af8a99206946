"""Unattended runs: real git, DVC and images; the stages in this process, Prefect in the slow tests."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from flows import cli, worktrees
from flows.leaving import leave
from flows.runs import runs_of
from flows.snapshots import keep, look
from flows.stages import STAGES, bring_up_to_date, note, stale_stages
from flows.unattended import retrain_once, survey
from flows.watch import look_once
from flows.workspaces import AUTHOR, git
from tasks.contracts.errors import BadData, BadEnvironment, GateRefused
from tasks.contracts.params_file import override
from tasks.contracts.run_records import Trigger
from tasks.register.registry import versions
from tests.conftest import write_images
from tests.flows.conftest import commit, graft
from tests.flows.unattended import ASKED, in_process, never, tree_of, wait_for


def test_a_version_names_what_started_it_and_a_branch_has_it(trained):
    (version,) = versions(trained)
    trigger = version.note["trigger"]
    assert (trigger["reason"], trigger["added"], trigger["before"]) == ("a first model", 42, "")
    assert trigger["after"] == version.note["data"] == look(trained).hash
    (run,) = runs_of(trained)
    assert (run.id, run.left) == (trigger["run"], f"graft/{run.id}")
    assert [one["action"] for one in run.stages] == ["ran"] * len(STAGES)
    assert git(trained, "rev-parse", run.left) == version.commit
    made = set(worktrees.MADE) - {"models/start.json"}  # there was no champion to pin
    assert set(git(trained, "show", "--format=", "--name-only", run.left).split()) == made
    assert git(trained, "rev-parse", f"{run.left}^") == git(trained, "rev-parse", "HEAD")
    assert run.id in git(trained, "for-each-ref", "refs/exps")
    assert "first model" not in (trained.root / run.log).read_text()
    assert "-- train: it has not run yet" in (trained.root / run.log).read_text()
    assert (trained.root / run.page).stat().st_size > 1000


def test_nothing_is_left_of_the_place_where_a_run_worked(trained):
    assert not list(trained.worktrees.iterdir())
    assert len(git(trained, "worktree", "list").splitlines()) == 1
    assert (trained.cache / "prepared").is_dir()


def test_nothing_changed_so_nothing_runs(ws):
    run = retrain_once(ws, ASKED, never)
    assert (run.state, run.version) == ("nothing_to_do", "")
    assert not ws.worktrees.exists() or not list(ws.worktrees.iterdir())


def test_a_commit_of_settings_is_a_change_and_an_edit_of_them_is_none(ws):
    override(ws.params, ["seed=3"])
    assert look_once(ws, "a look") is None
    assert worktrees.uncommitted(ws, worktrees.pinned_commit(ws)) == ["params.yaml"]
    commit(ws, "another seed")
    assert look_once(ws, "a look").trigger == Trigger("params.yaml changed", "a look")
    seen = []

    def start(worktree, _until):
        seen.append(stale_stages(worktree))
        raise BadData("enough")

    with pytest.raises(BadData):
        retrain_once(ws, ASKED, start)
    assert seen[0]["ingest"] == "seed: 0 -> 3"  # all else is there from the last version
    assert look_once(ws, "a look") is None  # a run for just this came to its end


def test_policy_asks_for_enough_of_a_change(ws):
    override(ws.params, ["operate.on_change.files=4"])
    commit(ws, "policy")
    write_images(ws.raw, 1, seed=50)
    scene = survey(ws)
    assert scene.settings == ("params.yaml",)  # and a committed change of settings counts by itself
    git(ws, *AUTHOR, "revert", "--no-edit", "HEAD")
    override(ws.params, ["operate.on_change.files=4"])
    run = retrain_once(ws, ASKED, never)
    assert (run.state, run.why) == ("nothing_to_do", "3 files added, fewer than operate.on_change.files: 4")


def test_a_run_that_is_cut_off_is_gone_on_with_in_its_own_place(ws):
    places = []

    def cut_off(worktree, _until):
        places.append(worktree.root)
        bring_up_to_date(worktree, "ingest")
        worktree.checkpoints.mkdir(parents=True)
        (worktree.checkpoints / "head.safetensors").write_bytes(b"half a training")
        raise KeyboardInterrupt

    def go_on(worktree, _until):
        places.append(worktree.root)
        assert bring_up_to_date(worktree, "ingest").action == "skipped"
        assert (worktree.checkpoints / "head.safetensors").read_bytes() == b"half a training"
        raise BadData("enough")

    write_images(ws.raw, 1, seed=50)
    with pytest.raises(KeyboardInterrupt):
        retrain_once(ws, ASKED, cut_off)
    assert look_once(ws, "a look")  # what was cut off is no end
    with pytest.raises(BadData):
        retrain_once(ws, ASKED, go_on)
    assert places[0] == places[1]
    assert [run.state for run in runs_of(ws)][:2] == ["failed", "interrupted"]
    assert not list(ws.worktrees.iterdir())


def test_a_commit_after_a_run_was_cut_off_is_not_undone_by_the_run_that_goes_on(ws):
    places = []

    def cut_off(worktree, _until):
        places.append(worktree.root)
        raise KeyboardInterrupt

    def look_around(worktree, _until):
        places.append(worktree.root)
        assert (worktree.root / "notes.md").read_text() == "of the user"
        raise BadData("enough")

    write_images(ws.raw, 1, seed=50)
    with pytest.raises(KeyboardInterrupt):
        retrain_once(ws, ASKED, cut_off)
    (ws.root / "notes.md").write_text("of the user")
    commit(ws, "notes")
    with pytest.raises(BadData):
        retrain_once(ws, ASKED, look_around)
    assert places[0] != places[1]


def test_a_place_that_is_left_of_other_data_is_removed(ws):
    def cut_off(worktree, _until):
        worktree.checkpoints.mkdir(parents=True)
        raise KeyboardInterrupt

    def look_around(worktree, _until):
        assert not worktree.checkpoints.exists()
        assert [path.name for path in ws.worktrees.iterdir()] == [worktree.root.name]
        raise BadData("enough")

    write_images(ws.raw, 1, seed=50)
    with pytest.raises(KeyboardInterrupt):
        retrain_once(ws, ASKED, cut_off)
    write_images(ws.raw, 1, seed=51)
    with pytest.raises(BadData):
        retrain_once(ws, ASKED, look_around)


def test_a_new_class_closes_the_gate_and_the_run_leaves_its_page(ws):
    def start(worktree, until):
        for name in STAGES[: STAGES.index("augment") + 1]:
            note(worktree, bring_up_to_date(worktree, name))
        raise AssertionError(until)

    shutil.copytree(ws.raw / "circles", ws.raw / "rings")
    before = tree_of(ws)
    with pytest.raises(GateRefused):
        retrain_once(ws, ASKED, start)
    run = runs_of(ws)[0]
    assert (run.state, run.stages[-1]["stage"], len(versions(ws))) == ("refused", "bias", 1)
    assert "rings" in (ws.root / run.page).read_text()
    assert tree_of(ws) == before


def test_two_runs_at_once_have_one_winner_and_a_clear_message(ws):
    def meanwhile(_worktree, _until):
        with pytest.raises(BadEnvironment, match="in use by"):
            retrain_once(ws, ASKED, never)
        raise BadData("enough")

    write_images(ws.raw, 1, seed=50)
    with pytest.raises(BadData):
        retrain_once(ws, ASKED, meanwhile)


def test_a_clean_branch_is_fast_forwarded_with_its_outputs(ws):
    ours = runs_of(ws)[0].left
    assert leave(ws, git(ws, "rev-parse", ours), "again", "fast_forward") == "main"
    assert git(ws, "rev-parse", "main") == git(ws, "rev-parse", ours)
    assert git(ws, "status", "--porcelain") == ""
    assert not any(stale_stages(ws).values())


def test_a_branch_that_moved_or_has_edits_is_left_alone(ws, capsys):
    ours = runs_of(ws)[0].left
    theirs = git(ws, "rev-parse", ours)
    override(ws.params, ["seed=3"])
    assert leave(ws, theirs, "again", "fast_forward") == ours
    assert "1 of your files are changed" in capsys.readouterr().err
    commit(ws, "the other was faster")
    head = git(ws, "rev-parse", "main")
    assert leave(ws, theirs, "again", "fast_forward") == ours
    assert git(ws, "rev-parse", "main") == head
    assert "your branch is left as it is" in capsys.readouterr().err


def test_a_commit_that_a_killed_run_left_is_taken_again(ws):
    scene = survey(ws)
    place = worktrees.make_worktree(ws, "x1", (scene.commit, versions(ws)[0].commit), keep(ws))
    first = worktrees.save(place, scene.commit, "x1", "one")
    assert first == worktrees.save(place, scene.commit, "x2", "two") == versions(ws)[0].commit
    worktrees.remove_worktree(ws, place)
    assert len(git(ws, "for-each-ref", "refs/exps").splitlines()) == 1


def test_a_remote_beside_the_workspace_is_the_same_from_a_worktree(ws):
    config = ws.root / ".dvc" / "config"
    remote = "['remote \"shelf\"']\n    url = ../../shelf\n"
    config.write_text(config.read_text().replace("[core]", "[core]\n    remote = shelf") + remote)
    commit(ws, "a remote")
    place = worktrees.make_worktree(ws, "x1", (worktrees.pinned_commit(ws), versions(ws)[0].commit), keep(ws))
    from flows.dvc_repo import open_repository

    with open_repository(place) as repo:
        assert Path(repo.config["remote"]["shelf"]["url"]) == ws.root.parent / "shelf"
        assert Path(repo.cache.local.path).is_relative_to(ws.root)
    worktrees.remove_worktree(ws, place)


def test_where_the_cache_is_on_another_file_system_the_data_are_copied(ws):
    with TemporaryDirectory(dir="/dev/shm") as far:
        if Path(far).stat().st_dev == ws.root.stat().st_dev:
            pytest.skip("one file system holds everything here")
        near = worktrees.make_worktree(ws, "x1", (worktrees.pinned_commit(ws), versions(ws)[0].commit), keep(ws))
        (ws.root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {far}\n")
        copied = worktrees.make_worktree(ws, "x2", (worktrees.pinned_commit(ws), versions(ws)[0].commit), keep(ws))
        for path in (p for p in ws.raw.rglob("*.png")):
            one, other = (place.raw / path.relative_to(ws.raw) for place in (near, copied))
            assert one.read_bytes() == other.read_bytes() == path.read_bytes()
            assert other.stat().st_nlink == 1
        assert look(copied).hash == look(near).hash == look(ws).hash


def test_a_file_that_changes_while_it_is_copied_is_in_no_snapshot_half(ws, monkeypatch):
    import flows.snapshots as snapshots

    copy, calls = snapshots._copy, []

    def meanwhile(*arguments):
        calls.append(1)
        if len(calls) == 1:
            (ws.raw / "circles" / "new.png").write_bytes(b"the whole of it")
        return copy(*arguments)

    (ws.raw / "circles" / "new.png").write_bytes(b"half")
    monkeypatch.setattr(snapshots, "_copy", meanwhile)
    found = keep(ws)
    assert len(calls) == 2
    assert found == look(ws)
    digest = hashlib.md5(b"the whole of it", usedforsecurity=False).hexdigest()
    assert found.files["circles/new.png"] == digest
    cached = ws.root / ".dvc" / "cache" / "files" / "md5"
    for path in (p for p in cached.rglob("*") if p.is_file() and p.suffix != ".dir"):
        assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == path.parent.name + path.name


def test_dry_run_and_runs_by_the_door(ws, capsys):
    write_images(ws.raw, 1, seed=50)
    before = tree_of(ws)
    assert cli.main(["--workspace", str(ws.root), "retrain", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["would_run"], found["change"]["added"]) == (True, 3)
    assert tree_of(ws) == before
    assert cli.main(["--workspace", str(ws.root), "runs"]) == 0
    assert "model@1, champion  a first model" in capsys.readouterr().out
    assert cli.main(["--workspace", str(ws.root), "runs", "show", "nobody"]) == 2
    assert "there is no run nobody" in capsys.readouterr().err


def test_the_flow_cleans_what_it_is_told_and_fails_in_a_line(ws):
    from flows.retrain import retrain

    found = retrain.fn(ws.root, "new\x1b[2J data", {"event": "heard\nsomething", "path": "/etc/passwd"})
    assert (found["state"], found["trigger"]) == (
        "nothing_to_do",
        {"reason": "new [2J data", "event": "heard something"},
    )
    shutil.rmtree(ws.raw)
    failed = retrain.fn(ws.root)
    assert failed.is_failed()
    assert failed.message == f"{ws.raw} is missing; put your images there"


@pytest.mark.slow
def test_with_a_drift_policy_a_run_trains_only_on_images_of_another_kind(ws):
    override(ws.params, ["operate.on_change.drift=0.3"])  # policy is read as it is now, committed or not
    write_images(ws.raw, 2, seed=50)
    until = []

    def start(worktree, last):
        until.append(last)
        return in_process(worktree, last)

    run = retrain_once(ws, ASKED, start)
    assert (run.state, run.version, until) == ("nothing_to_do", "", ["bias"])
    assert "below operate.on_change.drift: 0.3" in run.why
    assert len(versions(ws)) == 1
    assert look_once(ws, "a look") is None  # a run for just this came to its end
    for path in write_images(ws.root.parent / "dark", 10, seed=60).rglob("*.png"):
        picture = np.asarray(Image.open(path)) // 3
        Image.fromarray(picture).save(ws.raw / path.parent.name / f"dark_{path.name}")
    run = retrain_once(ws, ASKED, start)
    assert (run.state, run.version, until[1:]) == ("done", "model@2", ["bias", "register"])


@pytest.mark.slow
def test_the_flow_runs_on_the_embedded_engine(ws):
    script = (
        "import json, sys; from pathlib import Path; from flows.engine import prepare_engine; "
        "from tasks.contracts.workspace import Workspace\n"
        "prepare_engine(Workspace(Path(sys.argv[1])))\n"
        "from flows.retrain import retrain\n"
        "print(json.dumps(retrain(Path(sys.argv[1]), 'a schedule')))"
    )
    write_images(ws.raw, 1, seed=50)
    environment = os.environ | {"PREFECT_API_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", script, str(ws.root)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["state"], record["version"], record["trigger"]["reason"]) == ("done", "model@2", "a schedule")


@pytest.mark.slow
def test_a_run_killed_in_training_is_taken_up_by_the_next_and_registered_once(ws):
    override(ws.params, ["train.epochs=60", "train.patience=60", "train.strategy=fine_tuning"])
    commit(ws, "longer")
    write_images(ws.raw, 6, seed=50)
    door = [sys.executable, "-m", "flows.cli", "--workspace", str(ws.root), "retrain", "--offline"]
    child = subprocess.Popen(door, start_new_session=True)
    wait_for(lambda: list(ws.worktrees.glob("*/.graft/checkpoints/*.safetensors")), 300)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert runs_of(ws)[0].state == "crashed"
    done = graft(ws, "retrain", "--offline", "--json")
    assert done.returncode == 0, done.stderr
    assert "going on with a run that was cut off" in done.stderr
    assert "going on from epoch" in done.stderr
    actions = {one["stage"]: one["action"] for one in json.loads(done.stdout)["stages"]}
    assert (actions["quality"], actions["train"]) == ("skipped", "ran")
    assert [version.name for version in versions(ws)] == ["model@1", "model@2"]
    assert "nothing to do" in graft(ws, "retrain", "--offline").stdout
