"""From a folder of images that is dropped in to a new version, by watch, server, worker and worktree; nobody helps."""

import json
import subprocess

import pytest

from flows.server import slug, state_of
from tasks.contracts.workspace import Workspace
from tests.conftest import write_images
from tests.flows.conftest import BIN, commit, graft, make
from tests.flows.serving import runs, until

pytestmark = pytest.mark.slow


def versions(ws: Workspace) -> list[dict]:
    return json.loads(graft(ws, "models", "list", "--json").stdout)


def status(ws: Workspace) -> str:
    done = subprocess.run(["git", "status", "--porcelain"], cwd=ws.root, capture_output=True, text=True, check=True)
    return done.stdout


def test_images_that_are_dropped_in_become_a_version_that_names_them(tmp_path):
    ws = make(tmp_path)
    assert graft(ws, "run", "--offline").returncode == 0
    commit(ws, "a first run")
    up = graft(ws, "up")
    assert up.returncode == 0, up.stderr
    log = tmp_path / "watch.log"
    command = [str(BIN / "graft"), "--workspace", str(ws.root), "watch", "--quiet-for", "1", "--poll", "5"]
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as eye:
        try:
            until(lambda: "watching" in log.read_text(), "watch")
            write_images(ws.raw, 6, seed=77)
            found = until(lambda: [one for one in versions(ws) if one["number"] == 2], "second version")
            (run,) = until(lambda: runs(state_of(ws).url, "retrain", "COMPLETED"), "end of the run")
        finally:
            eye.terminate()
            eye.wait(60)
            graft(ws, "down")
    trigger = found[0]["note"]["trigger"]
    assert (trigger["reason"], trigger["added"]) == ("18 files added", 18)
    assert {"graft", slug(ws)} <= set(run["tags"])
    assert log.read_text().count("told ") == 1
    assert status(ws) == ""  # the user's own files are as they were
    (mine,) = [one for one in json.loads(graft(ws, "runs", "--json").stdout)["runs"] if one["flow"] == "retrain"]
    assert (mine["state"], mine["version"]) == ("done", "model@2")
